"""Says what is in pictures, by a run's checkpoint.

python -m cnn_jax.predict --workdir=runs/resnet picture.png
python -m cnn_jax.predict --workdir=runs/resnet folder --top_k=3 --format=json
python -m cnn_jax.predict --workdir=runs/segmentation picture.png --output=FOLDER

The last one writes a picture of what was found: classes, or a coloured mask.
"""

from pathlib import Path

from cnn_jax import command


def main() -> None:
    parser = command.Parser("predict", __doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="the run's folder")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--top_k", type=int, default=5, help="classes a picture")
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|STEP", help="default: best"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="gets a picture of each result"
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    flags = parser.parse()
    if flags.top_k < 1:
        parser.error(f"--top_k={flags.top_k} must be at least 1")
    command.session()
    from cnn_jax.training import prediction

    prediction.predict(
        flags.workdir,
        flags.images,
        top_k=flags.top_k,
        checkpoint=flags.checkpoint,
        output=flags.format,
        drawings=flags.output,
    )


if __name__ == "__main__":
    command.run(main)
