"""Layers: linen modules, channels last, one family a file."""

from flax.linen import Dense

from cnn_jax.layers.activation import ACTIVATIONS, activation
from cnn_jax.layers.convolution import Conv, convolve, kaiming_normal_fan_out
from cnn_jax.layers.normalization import (
    BATCH_AXIS,
    BatchNorm,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    batch_norm,
    local_response_norm,
)
from cnn_jax.layers.pooling import (
    AdaptiveAvgPool,
    AvgPool,
    Flatten,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    SpatialPyramidPool,
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    flatten,
    global_avg_pool,
    lp_pool,
    max_pool,
    spatial_pyramid_pool,
)
from cnn_jax.layers.regularization import Dropout, SpatialDropout, StochasticDepth
from cnn_jax.layers.residual import SHORTCUTS, BasicBlock, Bottleneck

__all__ = [
    "ACTIVATIONS",
    "BATCH_AXIS",
    "SHORTCUTS",
    "AdaptiveAvgPool",
    "AvgPool",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GroupNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "LpPool",
    "MaxPool",
    "SpatialDropout",
    "SpatialPyramidPool",
    "StochasticDepth",
    "activation",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "batch_norm",
    "convolve",
    "flatten",
    "global_avg_pool",
    "kaiming_normal_fan_out",
    "local_response_norm",
    "lp_pool",
    "max_pool",
    "spatial_pyramid_pool",
]
