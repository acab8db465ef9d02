"""Says what is in pictures, by a run's checkpoint.

    python -m cnn_jax.predict --workdir=runs/resnet picture.png
    python -m cnn_jax.predict --workdir=runs/resnet folder --top_k=3 --format=json
    python -m cnn_jax.predict --workdir=runs/segmentation picture.png --output=FOLDER
    python -m cnn_jax.predict --workdir=runs/video clip.gif clip.mp4 folder_of_frames
    python -m cnn_jax.predict --workdir=runs/adain A.png --style=B.png --output=FOLDER
    python -m cnn_jax.predict --workdir=runs/faces --verify A.png B.png
    python -m cnn_jax.predict --workdir=runs/faces --gallery=FOLDER --identify A.png

With --output FOLDER gets a picture of each result: the classes, a colored mask, boxes,
the enhanced picture, the one in the style of a run, or of --style, or the two that were
compared. A run of clips or volumes takes such, of a longer video the middle. A run of
configs/faces.py also says whether two pictures show the same identity, and whom of a
gallery, FOLDER/<name>/* or FOLDER/<name>.png, they show.
"""

from cnn_jax import command


def main() -> None:
    parser = command.Parser("predict", __doc__)
    parser.add_argument(
        "--workdir", type=command.path, required=True, help="the run's folder"
    )
    parser.add_argument(
        "images", nargs="+", type=command.path, metavar="IMAGE_OR_FOLDER"
    )
    parser.add_argument(
        "--top_k", type=int, help="answers a picture; default: 5, or all sure objects"
    )
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|STEP", help="default: best"
    )
    parser.add_argument(
        "--output",
        type=command.path,
        metavar="FOLDER",
        help="gets a picture of each result",
    )
    parser.add_argument(
        "--style", type=command.path, metavar="PICTURE", help="for a run of any style"
    )
    parser.add_argument(
        "--verify", action="store_true", help="whether two pictures are of the same"
    )
    parser.add_argument(
        "--identify", action="store_true", help="whom of the --gallery they show"
    )
    parser.add_argument("--gallery", type=command.path, metavar="FOLDER")
    parser.add_argument(
        "--threshold", type=float, help="least cosine of the same identity"
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    flags = parser.parse()
    _check(parser, flags)
    runs = command.runs()
    common = {
        "checkpoint": flags.checkpoint,
        "output": flags.format,
        "drawings": flags.output,
    }
    if flags.verify:
        pair = tuple(flags.images)
        runs.verify(flags.workdir, pair, threshold=flags.threshold, **common)
    elif flags.identify:
        runs.identify(
            flags.workdir,
            flags.images,
            flags.gallery,
            top_k=flags.top_k or 5,
            threshold=flags.threshold,
            **common,
        )
    else:
        runs.predict(
            flags.workdir,
            flags.images,
            top_k=flags.top_k,
            style=flags.style,
            **common,
        )


def _check(parser: command.Parser, flags) -> None:
    """Ends with an error where flags contradict each other."""
    if flags.top_k is not None and flags.top_k < 1:
        parser.error(f"--top_k={flags.top_k} must be at least 1")
    if flags.verify and (flags.identify or len(flags.images) != 2):
        parser.error("--verify compares two pictures")
    if flags.identify != (flags.gallery is not None):
        parser.error("--identify and --gallery=FOLDER go together")
    compares = flags.verify or flags.identify
    if compares and flags.style:
        parser.error("--style is not for --verify and --identify")
    if flags.threshold is not None and not compares:
        parser.error("--threshold goes with --verify or --identify")


if __name__ == "__main__":
    command.run(main)
