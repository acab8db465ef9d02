"""Measures how fast a network trains and infers here, and how fast its data comes.

    python -m cnn_jax.benchmark --config=configs/resnet.py
    python -m cnn_jax.benchmark --model=resnet50 --batch_sizes=32,128 --dtype=bfloat16
    python -m cnn_jax.benchmark --model=resnet20 --peer=torch --format=json
    python -m cnn_jax.benchmark --model=resnet20 --sweep_batch_size
    python -m cnn_jax.benchmark --config=configs/resnet.py:folder \\
        --config.data.dir=DIR --config.data.in_memory=false --input --peer=torch
    python -m cnn_jax.benchmark --suite --output=docs/measured

The steps are those of the training loop and of evaluation, with augmentation, metrics
and the update, on one batch of random images that is on the device already: no data is
loaded. GFLOP/s count two operations for each multiply-accumulate of the layer table
(`cnn_jax.summary`), three times as many in training; their share is that of what a
large matrix product in the same dtype reached just before. Memory is the device's own
record where it has one, else what the compiler says.

--peer times another code for the same network, from the same weights, a few steps of
each in turn: PyTorch, or plain Flax as in flax's ImageNet example (residual networks).
The ratio is our median time divided by the peer's. Peers get normalized images; ours
are uint8, and normalized, augmented and scored within the step. Where other programs
run beside PyTorch on a CPU, set OMP_WAIT_POLICY=passive: its threads wait for each
other busily, and lose most of their time when something else wants one of the cores.

--sweep_batch_size tries 1, 2, 4 ... images a device until they do not fit.

--input times what feeds training instead: the batches of the config's training split,
read, decoded and cropped at random by the training loop's own loader, in
`config.data.workers` processes, without a network or a device. Images/s per core are
those of each process that decodes: the workers, or this one where there are none.
Resident memory, of this process and the workers, is watched over an epoch (50 batches,
if these are more) before that: the first of a hundred samples, the largest, and by how
much the last exceeds the first. With --peer=torch torchvision's ImageFolder and
PyTorch's DataLoader take turns with ours over the same pictures, with as many workers,
up to the same uint8 arrays; of a `tfds:` set they get the same encoded bytes. A set in
memory leaves nothing to decode: it is timed without a peer, and in this process. A
sample is one batch, or with workers eight for each, which is what both loaders together
make ahead.

--suite measures a fixed list of networks, and how time and memory grow, and writes
benchmarks.md, benchmarks.json and growth.png; with --images=DIR, a folder with a folder
of pictures for each class as `config.data.dir` takes it, the input of those pictures at
224x224 pixels too, without workers and with two.

Compile times are those of an empty compilation cache unless JAX_COMPILATION_CACHE_DIR
is set.
"""

import argparse
import os
from pathlib import Path

from cnn_jax import command
from cnn_jax.core import strict_json
from cnn_jax.summary import input_shape
from cnn_jax.training import startup


def batch_sizes(text: str) -> list[int]:
    """`32,128` as a list of positive numbers."""
    sizes = [int(size) for size in text.split(",")]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("write them as 32,128, each at least 1")
    return sizes


def _parser() -> command.Parser:
    """Returns a parser of the flags."""
    parser = command.Parser("benchmark", __doc__, overrides=True)
    command.add_config(parser, required=False)
    parser.add_argument(
        "--model", metavar="NAME", help="a network by name, with the default recipe"
    )
    parser.add_argument("--suite", action="store_true", help="a fixed list of networks")
    parser.add_argument(
        "--input", action="store_true", help="time the loading of --config's data"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--batch_sizes",
        type=batch_sizes,
        metavar="N[,N...]",
        help="images a step, over all devices (default: the config's)",
    )
    sizes.add_argument(
        "--sweep_batch_size",
        type=command.count,
        nargs="?",
        const=2**20,
        metavar="MOST",
        help="find the fastest and the largest that fits, up to MOST",
    )
    parser.add_argument(
        "--input_shape",
        type=input_shape,
        metavar="[T,]H,W,C",
        help="of --model: as it was published; of --config: that of its data",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        help="of the computation (default: the config's, or float32)",
    )
    parser.add_argument(
        "--peer",
        choices=["torch", "flax_example"],
        help="time another code for the same too",
    )
    parser.add_argument(
        "--repeats", type=command.count, default=20, help="timed samples (default: 20)"
    )
    parser.add_argument(
        "--warmup",
        type=command.count,
        default=3,
        help="samples before those (default: 3)",
    )
    parser.add_argument(
        "--seconds",
        type=command.count,
        default=60,
        help="a slow step is repeated for so long only, but three times (default: 60)",
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.add_argument(
        "--output",
        type=command.path,
        metavar="DIR",
        help="where --suite writes (default: .)",
    )
    parser.add_argument(
        "--images",
        type=command.path,
        metavar="DIR",
        help="class folders, whose loading --suite measures too",
    )
    return parser


def main() -> None:
    parser = _parser()
    flags = parser.parse()
    _check(parser, flags)
    if flags.dtype:
        flags.overrides["model.dtype"] = flags.dtype
    if flags.peer == "torch":
        # Else JAX takes most of a GPU's memory at its start.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    startup.use_huge_pages()
    from cnn_jax.benchmarks import input as inputs
    from cnn_jax.benchmarks import measure, suite, tables
    from cnn_jax.benchmarks.subject import Request

    protocol = measure.Protocol(flags.repeats, flags.warmup, flags.seconds, flags.peer)
    if flags.suite:
        images = str(flags.images) if flags.images else None
        suite.write(flags.output or Path(), protocol, images)
        return
    request = Request(
        flags.config, flags.model or "", flags.overrides, flags.input_shape
    )
    table = tables.table
    if flags.input:
        content, table = inputs.report(request.resolve(), protocol), tables.input_table
    elif flags.sweep_batch_size:
        results, found = measure.sweep(request, protocol, flags.sweep_batch_size)
        content = measure.described(results, protocol) | {"sweep": found}
    else:
        content = measure.report(
            [request.at(size) for size in flags.batch_sizes]
            if flags.batch_sizes
            else [request],
            protocol,
        )
    if flags.format == "json":
        print(strict_json.dumps(content, indent=2))
    else:
        print(table(content))


def _check(parser: command.Parser, flags: argparse.Namespace) -> None:
    """Ends with an error where flags contradict each other."""
    if [flags.config is None, flags.model is None, not flags.suite].count(False) != 1:
        parser.error("give one of --config, --model and --suite")
    if flags.model and "model.name" in flags.overrides:
        parser.error("with --model, leave out --config.model.name")
    if flags.dtype and flags.overrides.get("model.dtype", flags.dtype) != flags.dtype:
        parser.error("give one of --dtype and --config.model.dtype")
    if flags.output and not flags.suite:
        parser.error("--output goes with --suite")
    if flags.images and not flags.suite:
        parser.error("--images goes with --suite")
    if flags.input and (
        not flags.config
        or flags.batch_sizes
        or flags.sweep_batch_size
        or flags.input_shape
        or flags.dtype
        or flags.peer == "flax_example"
    ):
        parser.error(
            "--input goes with --config, --peer=torch, --repeats, --warmup, --seconds "
            "and --format only"
        )
    if flags.suite and (
        flags.overrides
        or flags.batch_sizes
        or flags.sweep_batch_size
        or flags.input_shape
        or flags.dtype
        or flags.format == "json"
    ):
        parser.error(
            "--suite goes with --images, --peer, --repeats, --warmup, --seconds and "
            "--output only"
        )


if __name__ == "__main__":
    command.run(main)
