"""LeNet-5 (LeCun et al. 1998).

    python -m cnn_jax.main --config=configs/lenet.py

This command reaches a test accuracy of 98.6% in 16 s on one CPU core.

The data are the embedded digits, enlarged to 32x32 pixels as in the paper. `:mnist`
trains on MNIST.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def digits():
    config = recipes.digits()
    config.data.image_size = 32
    config.data.augmentations = ("crop(padding=3)",)
    config.model = {"name": "lenet5"}
    config.optimizer = {"name": "adamw", "learning_rate": 2e-3}
    return config


def mnist():
    config = recipes.mnist()
    config.model = {"name": "lenet5", "padding": (2, 0)}
    config.optimizer = {"name": "adamw", "learning_rate": 2e-3}
    config.schedule.warmup_epochs = 0.5
    return config


def get_config(arg=None):
    return choose({"digits": digits, "mnist": mnist}, arg)
