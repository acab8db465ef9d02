"""Predicts with a trained run: classes, boxes, masks, enhanced or stylized images.

    python -m cnn_jax.predict --workdir=runs/resnet picture.png
    python -m cnn_jax.predict --workdir=runs/resnet folder --top_k=3 --format=json
    python -m cnn_jax.predict --workdir=runs/segmentation picture.png --output=FOLDER
    python -m cnn_jax.predict --workdir=runs/video clip.gif clip.mp4 folder_of_frames
    python -m cnn_jax.predict --workdir=runs/adain A.png --style=B.png --output=FOLDER
    python -m cnn_jax.predict --workdir=runs/faces --verify A.png B.png
    python -m cnn_jax.predict --workdir=runs/faces --gallery=FOLDER --identify A.png

--output=FOLDER writes an image of each result: the input with its classes, a colored
mask or boxes, the enhanced or stylized image, or the two compared images side by side.
A run on video clips or volumes takes clips or volumes. If a video is longer than a
clip, the middle of the video is used. A run of configs/faces.py can also compare
identities: --verify says whether two images show the same identity. --identify finds
the identity of each image in a gallery. A gallery is a folder with one folder or one
image per identity, FOLDER/<name>/* or FOLDER/<name>.png.
"""

from cnn_jax import command


def main() -> None:
    parser = command.Parser("predict", __doc__)
    parser.add_argument(
        "--workdir", type=command.path, required=True, help="the run's folder"
    )
    parser.add_argument(
        "images",
        nargs="+",
        type=command.path,
        metavar="IMAGE_OR_FOLDER",
        help="image files and folders of images",
    )
    parser.add_argument(
        "--top_k",
        type=int,
        help="largest number of answers per image (default: 5 or, if an image can have "
        "several objects or labels, all confident answers)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="best|last|STEP",
        help="the run's checkpoint (default: best if the run has a validation split, "
        "otherwise last)",
    )
    parser.add_argument(
        "--output",
        type=command.path,
        metavar="FOLDER",
        help="write an image of each result into this folder",
    )
    parser.add_argument(
        "--style",
        type=command.path,
        metavar="PICTURE",
        help="the style image, for a network that takes any style",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="say whether two images show the same identity",
    )
    parser.add_argument(
        "--identify",
        action="store_true",
        help="find the identity of each image in --gallery",
    )
    parser.add_argument(
        "--gallery",
        type=command.path,
        metavar="FOLDER",
        help="images of known identities, for --identify",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="smallest cosine similarity that counts as the same identity",
    )
    parser.add_argument(
        "--format",
        choices=["table", "json"],
        default="table",
        help="format of the output (default: table)",
    )
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
    """Ends the command with an error if flags contradict each other."""
    if flags.top_k is not None and flags.top_k < 1:
        parser.error(f"--top_k={flags.top_k} must be at least 1")
    if flags.verify and (flags.identify or len(flags.images) != 2):
        parser.error(
            "--verify compares two pictures: give exactly two files, without --identify"
        )
    if flags.identify != (flags.gallery is not None):
        parser.error(
            "--identify and --gallery=FOLDER need each other: give both, or leave out "
            "both"
        )
    compares = flags.verify or flags.identify
    if compares and flags.style:
        parser.error(
            "--style does not work with --verify or --identify: leave out --style"
        )
    if flags.threshold is not None and not compares:
        parser.error(
            "--threshold needs --verify or --identify: add one of these two flags, or "
            "leave out --threshold"
        )


if __name__ == "__main__":
    command.run(main)
