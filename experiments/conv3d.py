"""Does a network have to combine frames, and does it need full 3D windows for this?

The lecture: a 3D convolution also moves over time; a 2D convolution sees each frame
alone. Here digits move in one of several ways that no single frame shows.

    python -m cnn_jax.sweep --config=experiments/conv3d.py
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def moving():
    config = recipes.few_digits(steps=200)
    config.data = {"name": "moving_digits", "batch_size": 16, "train_examples": 500}
    config.data.test_examples = 200
    config.model = {"name": "r2d_18", "stem": "small", "width": 8}
    return config


def get_config(arg=None):
    return choose({"moving": moving}, arg)


def sweep():
    yield "2D, each frame", {}
    yield "3D", {"model.name": "r3d_18"}
    yield "(2+1)D", {"model.name": "r2plus1d_18"}
    yield "3D, then 2D", {"model.name": "mc3_18"}
