"""Localization by class activation maps (Zhou et al. 2016): boxes that nobody drew.

    python -m cnn_jax.main --config=configs/localization.py

A ResNet-20 learns which digit is in a scene; where the map of that class is high is
where the digit is. Boxes measure the error, and are not learned from.

After three and a half minutes on two CPU cores 96% of the digits are told, and 47% of
them found, to an intersection over union of 1/2 (one seed).
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def scenes():
    config = recipes.digit_scenes(epochs=12)
    config.data.labels = "boxes"
    config.data.most_digits = 1
    config.task.name = "localization"
    # A pixel of the map is four of the image, and blurred: of 0.2 to 0.7 this share was
    # the best on the scenes to train on.
    config.task.box_share = 0.7
    config.model = {"name": "resnet20", "head": "cam"}
    return config


def get_config(arg=None):
    return choose({"scenes": scenes}, arg)
