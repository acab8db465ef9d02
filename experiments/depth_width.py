"""Where should parameters go: into depth or into width?

    python -m cnn_jax.sweep --config=experiments/depth_width.py
    python -m cnn_jax.sweep --config=experiments/depth_width.py:cifar10

On the digits (three seeds, four minutes on two cores) both help, depth more: four
layers a stage of 8 channels reach 97.0% with 10,226 parameters, one layer of 32
channels 97.1% with 19,562, and one of 16 95.4% with 5,178. The best is 98.7%, with
40,026; 158,378 are no better.
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
