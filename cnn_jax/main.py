"""Trains and evaluates the network that a config describes.

    python -m cnn_jax.main --config=configs/resnet.py
    python -m cnn_jax.main --config=configs/resnet.py:cifar10 --workdir=runs/mine
    python -m cnn_jax.main --config=configs/resnet.py --config.train.epochs=5

The same command again resumes a run that was ended, or prints the result of a
complete one. --mode=eval evaluates the run's best checkpoint.

Compiled programs are kept in ~/.cache/cnn_jax for the next start, here and by
evaluate and predict, but for those that call oneDNN, which XLA cannot store.
JAX_COMPILATION_CACHE_DIR=FOLDER keeps them elsewhere, JAX_ENABLE_COMPILATION_CACHE=0
nowhere.
"""

import argparse

from cnn_jax import command


def tag(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as a pair."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("write it as NAME=VALUE")
    return name, value


def main() -> None:
    parser = command.Parser("main", __doc__, overrides=True)
    command.add_config(parser)
    parser.add_argument(
        "--workdir",
        type=command.path,
        help="the run's folder (default: runs/<config>[-<arg>])",
    )
    parser.add_argument("--mode", choices=["train", "eval"], default="train")
    parser.add_argument(
        "--overwrite", action="store_true", help="remove the run that is in the folder"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="shrink the config to a few steps on a few embedded digits",
    )
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="join the other hosts of this run (Slurm, Open MPI, Kubernetes, TPU)",
    )
    parser.add_argument(
        "--tag",
        type=tag,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="stands in TensorBoard's HParams table and config.json; may be repeated",
    )
    flags = parser.parse()
    workdir = flags.workdir or command.default_workdir(flags.config)
    if flags.smoke and not flags.workdir:
        # A trial of its own, made anew each time.
        workdir = workdir.with_name(f"{workdir.name}-smoke")
        flags.overwrite = flags.mode == "train"
    runs = command.runs()
    if flags.distributed:
        runs.join()
    config = command.load_config(flags, smoke=flags.smoke)
    if flags.mode == "eval":
        runs.evaluate(workdir, expected=config)
    else:
        runs.train(config, workdir, overwrite=flags.overwrite, tags=dict(flags.tag))


if __name__ == "__main__":
    command.run(main)
