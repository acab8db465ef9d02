"""Where should parameters go: into depth or into width?

python -m cnn_jax.sweep --config=experiments/depth_width.py
python -m cnn_jax.sweep --config=experiments/depth_width.py:cifar10
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    return recipes.experiment(arg)


def sweep(arg=None):
    stages = 3 if arg == "cifar10" else 2
    for depth in (1, 2, 4):
        for width in (8, 16, 32):
            yield (
                f"depth {depth}, width {width}",
                {
                    "model.depth": depth,
                    "model.widths": tuple(width * 2**i for i in range(stages)),
                },
            )
