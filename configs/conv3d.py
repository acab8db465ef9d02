"""Networks for clips (Tran et al. 2015, 2018), on images held still for some frames.

    python -m cnn_jax.main --config=configs/conv3d.py

reaches 98.9% in three quarters of a minute on two CPU cores. `--config.model.name` may
be `r3d_18`, `mc3_18`, `r2plus1d_18` or, with SGD's rate at 0.01, `c3d`. `:cifar10` and
`:imagenet` are R3D-18 on still clips of eight frames, where two dimensions would do:
they were not trained here.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def digits():
    """An eighth as wide, four frames of 8x8 pixels."""
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
    return choose({"digits": digits, "cifar10": cifar10, "imagenet": imagenet}, arg)
