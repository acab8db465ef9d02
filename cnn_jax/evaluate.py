"""Prints the metrics of a run's checkpoint on a split of its data.

python -m cnn_jax.evaluate --workdir=runs/resnet
python -m cnn_jax.evaluate --workdir=runs/resnet --split=train --checkpoint=last
"""

from pathlib import Path

from cnn_jax import command


def main() -> None:
    parser = command.Parser("evaluate", __doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="the run's folder")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|STEP", help="default: best"
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    flags = parser.parse()
    session = command.session()
    session.evaluate(
        flags.workdir,
        split=flags.split,
        checkpoint=flags.checkpoint,
        output=flags.format,
    )


if __name__ == "__main__":
    command.run(main)
