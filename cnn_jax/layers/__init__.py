"""Layers: linen modules, channels last, one family a file."""

from flax.linen import Dense

from cnn_jax.layers.activation import ACTIVATIONS, activation
from cnn_jax.layers.convolution import Conv, convolve, kaiming_normal_fan_out
from cnn_jax.layers.normalization import BATCH_AXIS, BatchNorm
from cnn_jax.layers.pooling import (
    AvgPool,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    avg_pool,
    flatten,
    global_avg_pool,
    max_pool,
)
from cnn_jax.layers.residual import SHORTCUTS, BasicBlock, Bottleneck

__all__ = [
    "ACTIVATIONS",
    "BATCH_AXIS",
    "SHORTCUTS",
    "AvgPool",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "Conv",
    "Dense",
    "Flatten",
    "GlobalAvgPool",
    "MaxPool",
    "activation",
    "avg_pool",
    "convolve",
    "flatten",
    "global_avg_pool",
    "kaiming_normal_fan_out",
    "max_pool",
]
