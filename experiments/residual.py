"""How deep can a network be, with and without shortcuts?

The lecture: residual blocks make deep networks trainable. He et al. 2016 (section 4.2):
from 20 layers on, plain networks get worse with depth, in training too, while residual
networks get better.

    python -m cnn_jax.sweep --config=experiments/residual.py
    python -m cnn_jax.sweep --config=experiments/residual.py:cifar10
    python -m cnn_jax.sweep --config=experiments/residual.py:few_cifar10
    python -m cnn_jax.sweep --config=experiments/residual.py:folder \\
        --config.data.dir=DIR

`:few_cifar10` is 5,000 photos of CIFAR-10 at 16x16 pixels for ten epochs, `:folder` is
your photos in class folders for 20 epochs.
"""

from cnn_jax.training import recipes

DEPTHS = (8, 20, 32, 56)


def get_config(arg=None):
    config = recipes.experiment(arg)
    # Option A of the paper: shortcuts without parameters.
    width = 16 if arg == "cifar10" else 8
    config.model = {"name": "resnet20", "width": width, "shortcut": "identity"}
    return config


def sweep():
    for depth in DEPTHS:
        blocks = {"model.stage_sizes": ((depth - 2) // 6,) * 3}
        residual = f"residual, {depth} layers"
        yield residual, blocks, None
        yield f"plain, {depth} layers", blocks | {"model.shortcut": "zero"}, residual
