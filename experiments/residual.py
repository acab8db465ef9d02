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

On the digits (three seeds, seven minutes on two cores), residual networks reach 96 to
97% at each depth, and plain networks 97.9, 94.8, 88.2 and 34.3% at 8, 20, 32 and 56
layers. At 56 layers the difference by itself is more than chance.

On CIFAR-10, after 100 steps of 128 images (three seeds, 24 minutes on two busy cores),
no difference is shown at 8 layers. At 20, 32 and 56 layers, shortcuts gain 6, 12 and 15
points, each more than chance: residual networks reach 36, 34 and 31%.
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
