"""Does a network have to look over time, and is a whole 3D window needed for that?

The lecture: a 3D convolution moves in time too, where a 2D one sees each frame alone.
Digits move in one of several ways that no single frame shows.

    python -m cnn_jax.sweep --config=experiments/conv3d.py

On moving digits (three seeds, ten minutes on two cores): 8% by the network that sees
each frame alone, where chance is 6%, 89% by 3D convolutions, 68% where only the first
ones are 3D, and 47% by (2+1)D ones, which after 200 steps have learned the least. Of
the 3D networks' seeds one is at 71%: all are still learning.
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
