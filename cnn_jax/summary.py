"""Prints a network's layers: shapes, parameters, operations, receptive fields.

python -m cnn_jax.summary --config=configs/resnet.py
python -m cnn_jax.summary --model=resnet50 --input_shape=224,224,3 --format=markdown
python -m cnn_jax.summary --all
"""

import argparse
from pathlib import Path

from cnn_jax import command
from cnn_jax.core.errors import UserError


def input_shape(text: str) -> tuple[int, ...]:
    """Parses the text of --input_shape: `224,224,3` becomes (224, 224, 3).

    The shape of a clip or volume has four sizes.
    """
    sizes = tuple(int(size) for size in text.split(","))
    if len(sizes) not in (3, 4) or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not an input shape: write [FRAMES,]HEIGHT,WIDTH,CHANNELS, "
            "for example 224,224,3"
        )
    return sizes


def main() -> None:
    parser = command.Parser("summary", __doc__, overrides=True)
    command.add_config(parser, required=False)
    parser.add_argument(
        "--model", metavar="NAME", help="a network's name or import path"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="print a table of all networks of the package, with the published figures",
    )
    parser.add_argument(
        "--num_classes",
        type=int,
        help="number of outputs of --model (default: the published number)",
    )
    parser.add_argument(
        "--input_shape",
        type=input_shape,
        metavar="[T,]H,W,C",
        help="input shape (default: as published or, with --config, as in the data)",
    )
    parser.add_argument(
        "--format",
        choices=["table", "markdown", "json"],
        help="output format; markdown also explains every layer (default: table)",
    )
    parser.add_argument(
        "--update",
        type=command.path,
        metavar="FILE",
        help="with --all: replace the table between the two marker lines in FILE",
    )
    flags = parser.parse()
    if [flags.config is None, flags.model is None, not flags.all].count(False) != 1:
        parser.error("give exactly one of --all, --config and --model")
    if flags.overrides and not flags.config:
        parser.error("--config.KEY=VALUE needs --config=FILE.py")
    if flags.config and flags.num_classes:
        parser.error(
            "--num_classes needs --model: with --config, set "
            "--config.model.num_classes=N"
        )
    if flags.all and (flags.num_classes or flags.input_shape):
        parser.error(
            "--all shows each network as published: leave out --num_classes and "
            "--input_shape, or replace --all by --model"
        )
    if flags.update and (flags.format or not flags.all):
        parser.error(
            "--update needs --all, and always writes Markdown: add --all, and leave "
            "out --format"
        )
    format = flags.format or "table"
    if flags.all:
        _all(format, flags.update)
        return
    from cnn_jax.analysis import costs

    model, shape = _configured(flags) if flags.config else _named(flags)
    try:
        table = costs.layer_table(model, shape)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the network cannot take an input of shape {shape} (--input_shape): "
            f"{error}"
        ) from error
    print(costs.render(table, format))


def _all(format: str, path: Path | None) -> None:
    """Prints the table of all networks, or writes the table into the file `path`.

    Args:
      format: the format of the printed table; see `costs.render`.
      path: the page to update; None prints the table.
    """
    from cnn_jax import models
    from cnn_jax.analysis import overview

    if path is not None and not path.is_file():
        raise UserError(
            f"--update={path}: there is no such file. Name an existing page."
        )
    summaries = [
        overview.summarize(name, overview.published_table(name))
        for name in models.MODELS
    ]
    if path is None:
        print(overview.render(summaries, format))
    else:
        overview.update(path, overview.render(summaries, "markdown"))


def _named(flags: argparse.Namespace):
    """Returns the network that --model names, and the network's input shape."""
    from cnn_jax import models

    model = models.create(flags.model, num_classes=flags.num_classes)
    return model, flags.input_shape or models.published_shape(flags.model)


def _configured(flags: argparse.Namespace):
    """Returns the network that --config describes, and the network's input shape."""
    from cnn_jax import data
    from cnn_jax.training import setup

    config = command.load_config(flags)
    known = data.describe(config.data.name, **setup.data_options(config))
    return setup.model_of(config, len(known.classes)), (
        flags.input_shape or known.image_shape
    )


if __name__ == "__main__":
    command.run(main)
