"""SqueezeNet (Iandola et al. 2016): fire modules, few parameters.

    python -m cnn_jax.main --config=configs/squeezenet.py

This command reaches a test accuracy of 98.6% in 73 s on one CPU core. `:cifar10` has a
stem for 32x32 pixels. `:imagenet` is SqueezeNet 1.1 with the paper's learning rate of
0.04. The learning rate follows a cosine here, and a straight line in the paper.
`:cifar10` and `:imagenet` were not trained here.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def digits():
    """For 8x8 images."""
    config = recipes.digits(epochs=60)
    config.model = {
        "name": "squeezenet1_1",
        "stem": "small",
        "dropout": 0.5,
    }
    config.optimizer = {"name": "adamw", "learning_rate": 5e-4}
    return config


def cifar10():
    config = recipes.cifar10()
    config.model = {"name": "squeezenet1_1", "stem": "small"}
    config.optimizer = {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01}
    return config


def imagenet():
    config = recipes.imagenet(batch_size=512)
    config.model = {"name": "squeezenet1_1", "dtype": "bfloat16"}
    config.optimizer.learning_rate = 0.04
    config.optimizer.weight_decay = 2e-4
    return config


def get_config(arg=None):
    return choose({"digits": digits, "cifar10": cifar10, "imagenet": imagenet}, arg)
