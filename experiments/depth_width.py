"""Is it better to spend parameters on depth or on width?

python -m cnn_jax.sweep --config=experiments/depth_width.py
python -m cnn_jax.sweep --config=experiments/depth_width.py:cifar10
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
