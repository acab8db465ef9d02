"""Semantic segmentation by a fully convolutional network (Long et al. 2015).

python -m cnn_jax.main --config=configs/segmentation.py
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def scenes():
    config = recipes.digit_scenes()
    """Strokes are two to four pixels wide: the last map has every second pixel, by
    dilation in the place of the network's last stride."""
    config.model = {"name": "resnet20", "stem": "small", "head": "fcn"}
    config.model.output_stride = 2
    return config


def get_config(arg=None):
    return choose({"scenes": scenes}, arg)
