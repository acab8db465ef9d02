"""Measures the speed and memory of a network's training and inference, or of its input.

    python -m cnn_jax.benchmark --config=configs/resnet.py
    python -m cnn_jax.benchmark --model=resnet50 --batch_sizes=32,128 --dtype=bfloat16
    python -m cnn_jax.benchmark --model=resnet20 --peer=torch --format=json
    python -m cnn_jax.benchmark --model=resnet20 --sweep_batch_size
    python -m cnn_jax.benchmark --config=configs/resnet.py:folder \\
        --config.data.dir=DIR --config.data.random_crop=0.08,1 --input --peer=torch
    python -m cnn_jax.benchmark --suite --output=docs/measured

The benchmark times the steps of the training loop and of evaluation, with augmentation,
metrics and the parameter update. The input is one batch of random images that is
already on the device, so no data is loaded. GFLOP/s count two operations for each
multiply-accumulate of the layer table (`cnn_jax.summary`), and three times as many in
training. "of peak" is the network's GFLOP/s divided by the GFLOP/s of a large matrix
product in the same dtype, measured just before. Memory is the peak memory that the
device recorded or, if the device records none, the compiler's estimate.

--peer also times another implementation of the network, the peer, with the same
weights. The network and the peer take turns, a few steps each. The peer is PyTorch, or
plain Flax as in flax's ImageNet example (residual networks only). The ratio is our
median time divided by the peer's median time. The peer gets normalized images; our step
gets uint8 images, and also normalizes, augments and scores the images. If other
programs run on the CPU beside PyTorch, set OMP_WAIT_POLICY=passive: PyTorch's threads
wait for each other in a busy loop, and become slow when another program needs one of
the cores.

--sweep_batch_size tries 1, 2, 4, ... images per device until a batch does not fit.

--input times the data loading alone, without a network or a device. The training loop's
own loader reads, decodes and crops the training images of the config, in
`config.data.workers` processes. "per core" is images/s per decoding process: the
workers or, without workers, this process. Before the timing, the resident memory of
this process and its workers is sampled up to a hundred times over one epoch (at least
50 batches). The table has the first sample, the largest sample, and the growth from the
first to the last sample. With --peer=torch, torchvision's ImageFolder and PyTorch's
DataLoader load the same images into uint8 arrays, with as many workers. The two loaders
take turns. For a `tfds:` data set the peer decodes the same encoded bytes. A data set
in memory has nothing to decode, so its loading is timed in this process, without a
peer. A timed sample is one batch; with workers it is eight batches per worker, as many
as both loaders together prepare ahead.

--suite measures a fixed list of networks, and how time and memory grow. It writes
benchmarks.md, benchmarks.json and growth.png. With --images=DIR it also measures the
loading of the images in DIR at 224x224 pixels, without workers and with two. DIR has
one folder of images per class, like `config.data.dir`.

Compile times are measured with an empty compilation cache, unless
JAX_COMPILATION_CACHE_DIR is set.
"""

import argparse
import os
from pathlib import Path

from cnn_jax import command
from cnn_jax.core import strict_json
from cnn_jax.summary import input_shape
from cnn_jax.training import startup


def batch_sizes(text: str) -> list[int]:
    """Parses the text of --batch_sizes: `32,128` becomes [32, 128].

    Raises an error for a number below 1.
    """
    sizes = [int(size) for size in text.split(",")]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' has a batch size below 1: give sizes such as 32,128"
        )
    return sizes


def _parser() -> command.Parser:
    """Returns the parser of the command's flags."""
    parser = command.Parser("benchmark", __doc__, overrides=True)
    command.add_config(parser, required=False)
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a network's name; the network is measured with the default config",
    )
    parser.add_argument(
        "--suite", action="store_true", help="measure a fixed list of networks"
    )
    parser.add_argument(
        "--input", action="store_true", help="time the loading of the config's data"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--batch_sizes",
        type=batch_sizes,
        metavar="N[,N...]",
        help="images per step, over all devices (default: the config's)",
    )
    sizes.add_argument(
        "--sweep_batch_size",
        type=command.count,
        nargs="?",
        const=2**20,
        metavar="MOST",
        help="find the fastest batch size and the largest that fits, up to MOST",
    )
    parser.add_argument(
        "--input_shape",
        type=input_shape,
        metavar="[T,]H,W,C",
        help="input shape (default: as published or, with --config, as in the data)",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        help="dtype of the computation (default: the config's, or float32)",
    )
    parser.add_argument(
        "--peer",
        choices=["torch", "flax_example"],
        help="also time another implementation of the network",
    )
    parser.add_argument(
        "--repeats", type=command.count, default=20, help="timed samples (default: 20)"
    )
    parser.add_argument(
        "--warmup",
        type=command.count,
        default=3,
        help="samples before the timed ones (default: 3)",
    )
    parser.add_argument(
        "--seconds",
        type=command.count,
        default=60,
        help="after this many seconds, three timed samples are enough (default: 60)",
    )
    parser.add_argument(
        "--format",
        choices=["table", "json"],
        default="table",
        help="format of the output (default: table)",
    )
    parser.add_argument(
        "--output",
        type=command.path,
        metavar="DIR",
        help="folder for the files of --suite (default: the current folder)",
    )
    parser.add_argument(
        "--images",
        type=command.path,
        metavar="DIR",
        help="a folder with one folder of images per class; --suite also times the "
        "loading of these images",
    )
    return parser


def main() -> None:
    parser = _parser()
    flags = parser.parse()
    _check(parser, flags)
    if flags.dtype:
        flags.overrides["model.dtype"] = flags.dtype
    if flags.peer == "torch":
        # By default JAX takes most of a GPU's memory when it starts.
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
    """Ends the command with an error if flags contradict each other."""
    if [flags.config is None, flags.model is None, not flags.suite].count(False) != 1:
        parser.error("give exactly one of --config, --model and --suite")
    if flags.model and "model.name" in flags.overrides:
        parser.error("--model already names the network: leave out --config.model.name")
    if flags.dtype and flags.overrides.get("model.dtype", flags.dtype) != flags.dtype:
        parser.error(
            "--dtype and --config.model.dtype differ: leave out one of the two"
        )
    if flags.output and not flags.suite:
        parser.error("--output needs --suite: add --suite, or leave out --output")
    if flags.images and not flags.suite:
        parser.error("--images needs --suite: add --suite, or leave out --images")
    if flags.input and (
        not flags.config
        or flags.batch_sizes
        or flags.sweep_batch_size
        or flags.input_shape
        or flags.dtype
        or flags.peer == "flax_example"
    ):
        parser.error(
            "--input needs --config, and allows no other flags than --peer=torch, "
            "--repeats, --warmup, --seconds and --format: leave out the other flags"
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
            "--suite allows no other flags than --images, --peer, --repeats, --warmup, "
            "--seconds and --output: leave out the other flags"
        )


if __name__ == "__main__":
    command.run(main)
