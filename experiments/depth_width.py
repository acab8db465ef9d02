"""Is it better to spend parameters on depth or on width?

    python -m cnn_jax.sweep --config=experiments/depth_width.py
    python -m cnn_jax.sweep --config=experiments/depth_width.py:cifar10

On the digits (three seeds, four minutes on two cores), both help, and depth helps more.
With four layers in each stage and 8 channels, the network reaches 97.0% with 10,226
parameters. With one layer it reaches 97.1% at 32 channels (19,562 parameters) and 95.4%
at 16 channels (5,178). The best network reaches 98.7% with 40,026 parameters; 158,378
are no better.
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    return recipes.experiment(arg)


def sweep(arg=None):
    stages = len(get_config(arg).model.widths)
    for depth in (1, 2, 4):
        for width in (8, 16, 32):
            yield (
                f"depth {depth}, width {width}",
                {
                    "model.depth": depth,
                    "model.widths": tuple(width * 2**i for i in range(stages)),
                },
            )
