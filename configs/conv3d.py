"""Networks for clips (Tran et al. 2015, 2018) on digits that move.

    python -m cnn_jax.main --config=configs/conv3d.py

tells all motions of the test clips apart after half a minute on two CPU cores (one
seed). The label is the direction and the speed, of which a single frame says nothing.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def moving():
    """Eight frames of 32x32 pixels, an eighth as wide."""
    config = recipes.moving_digits()
    config.model = {"name": "r3d_18", "width": 8, "stage_sizes": (1, 1, 1, 1)}
    config.optimizer.weight_decay = 5e-4
    return config


def still():
    """Digits as clips of four equal frames of 8x8 pixels."""
    config = recipes.digits(epochs=15)
    config.model = {"name": "r3d_18", "stem": "small", "width": 8, "frames": 4}
    config.optimizer.weight_decay = 5e-4
    config.task.label_smoothing = 0.1
    return config


def cifar10():
    config = recipes.cifar10()
    config.model = {"name": "r3d_18", "stem": "small", "width": 32, "frames": 8}
    config.optimizer.weight_decay = 5e-4
    return config


def imagenet():
    config = recipes.imagenet()
    config.data.image_size = 112
    config.model = {"name": "r3d_18", "frames": 8, "dtype": "bfloat16"}
    return config


def get_config(arg=None):
    return choose(
        {"moving": moving, "still": still, "cifar10": cifar10, "imagenet": imagenet},
        arg,
    )
