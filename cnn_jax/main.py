"""Trains and evaluates the network that a config describes.

    python -m cnn_jax.main --config=configs/resnet.py
    python -m cnn_jax.main --config=configs/resnet.py:cifar10 --workdir=runs/mine
    python -m cnn_jax.main --config=configs/resnet.py --config.train.epochs=5
    python -m cnn_jax.main --config=configs/resnet.py --list
    python -m cnn_jax.main --list=optimizers

Running the same command again resumes an interrupted run. If the run is complete, the
command prints the run's results. --extend with a greater length, such as
--config.train.epochs=50, trains the run further. --mode=eval evaluates the run's best
checkpoint. --mode=lr_range trains for 200 steps with a learning rate that grows from
1e-6 to 10, suggests a learning rate, and writes lr_range.png in the run's folder.

--list prints every key of the config with its value, default, range and meaning, and
--list=augmentations, data, models, optimizers, schedules or tasks prints the names that
a key may have. Nothing is trained.

Compiled programs are cached in ~/.cache/cnn_jax, so that the next start of main,
evaluate or predict is faster. (XLA cannot cache programs that call oneDNN.)
JAX_COMPILATION_CACHE_DIR=FOLDER moves the cache, and JAX_ENABLE_COMPILATION_CACHE=0
turns the cache off.
"""

import argparse

from cnn_jax import command

KEYS = "keys"


def tag(text: str) -> tuple[str, str]:
    """Parses the text of --tag: `NAME=VALUE` becomes (NAME, VALUE)."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not a tag: write NAME=VALUE")
    return name, value


def list_for(flags: argparse.Namespace) -> None:
    """Prints what --list asks for."""
    from cnn_jax.runs import key_list  # takes a second to import

    if flags.list == KEYS:
        print(key_list.keys(command.load_config(flags, smoke=flags.smoke)))
    else:
        print(key_list.names(flags.list))


def main() -> None:
    parser = command.Parser("main", __doc__, overrides=True)
    command.add_config(parser, required=False)
    parser.add_argument(
        "--list",
        nargs="?",
        const=KEYS,
        metavar="KIND",
        help="print each key of the config with its value, range and meaning; "
        "--list=KIND prints the names of all augmentations, data, models, optimizers, "
        "schedules or tasks",
    )
    parser.add_argument(
        "--workdir",
        type=command.path,
        help="the run's folder (default: runs/<config>[-<arg>])",
    )
    parser.add_argument(
        "--mode",
        choices=["train", "eval", "lr_range"],
        default="train",
        help="train, evaluate the best checkpoint, or suggest a learning rate "
        "(default: train)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="first remove the run in --workdir"
    )
    parser.add_argument(
        "--extend",
        action="store_true",
        help="train the run in --workdir further: to a greater length of config.train, "
        "with the schedule of the new length",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="shrink the config to a few steps on a few embedded images",
    )
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="train on several hosts (Slurm, Open MPI, Kubernetes, Cloud TPU)",
    )
    parser.add_argument(
        "--tag",
        type=tag,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a tag for config.json and TensorBoard's HParams table; may be repeated",
    )
    flags = parser.parse()
    if flags.config is None and flags.list in (None, KEYS):
        parser.error("the following arguments are required: --config")
    if flags.list:
        list_for(flags)
        return
    workdir = flags.workdir or command.default_workdir(flags.config)
    if flags.smoke and not flags.workdir:
        # Every smoke run starts again, in a folder of its own.
        workdir = workdir.with_name(f"{workdir.name}-smoke")
        flags.overwrite = flags.mode == "train"
    runs = command.runs()
    if flags.distributed:
        runs.join()
    config = command.load_config(flags, smoke=flags.smoke)
    if flags.mode == "eval":
        runs.evaluate(workdir, expected=config)
    elif flags.mode == "lr_range":
        runs.find_learning_rate(config, workdir)
    else:
        runs.train(
            config,
            workdir,
            overwrite=flags.overwrite,
            extend=flags.extend,
            tags=dict(flags.tag),
        )


if __name__ == "__main__":
    command.run(main)
