"""Prints a network's layers: output shapes, parameters, multiply-accumulates.

python -m cnn_jax.summary --config=configs/resnet.py
python -m cnn_jax.summary --model=resnet50 --input_shape=224,224,3 --format=markdown
"""

import argparse

from cnn_jax import command
from cnn_jax.errors import UserError


def input_shape(text: str) -> tuple[int, ...]:
    """`224,224,3` as a tuple of three positive numbers."""
    sizes = tuple(int(size) for size in text.split(","))
    if len(sizes) != 3 or min(sizes) < 1:
        raise argparse.ArgumentTypeError("write it as HEIGHT,WIDTH,CHANNELS: 224,224,3")
    return sizes


def main() -> None:
    parser = command.Parser("summary", __doc__, overrides=True)
    command.add_config(parser, required=False)
    parser.add_argument("--model", metavar="NAME", help="a network by name")
    parser.add_argument("--num_classes", type=int, help="outputs of --model: 1000")
    parser.add_argument(
        "--input_shape",
        type=input_shape,
        metavar="H,W,C",
        help="of --model: 224,224,3; of --config: that of its data",
    )
    parser.add_argument(
        "--format", choices=["table", "markdown", "json"], default="table"
    )
    flags = parser.parse()
    if (flags.config is None) == (flags.model is None):
        parser.error("give one of --config and --model")

    from cnn_jax import data, models
    from cnn_jax.analysis import costs

    if flags.model:
        if flags.overrides:
            parser.error("--config.KEY=VALUE goes with --config")
        model = models.create(
            flags.model,
            num_classes=1000 if flags.num_classes is None else flags.num_classes,
        )
        shape = flags.input_shape or (224, 224, 3)
    else:
        if flags.num_classes:
            parser.error("with --config, set --config.model.num_classes")
        from cnn_jax.training import run

        config = command.load_config(flags)
        classes, data_shape = data.describe(
            config.data.name, **run.data_options(config)
        )
        model = run.model_of(config, len(classes))
        shape = flags.input_shape or data_shape
    try:
        table = costs.layer_table(model, shape)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the network cannot take an input of {shape}: {error}"
        ) from error
    print(costs.render(table, flags.format))


if __name__ == "__main__":
    command.run(main)
