"""Layers: linen modules, channels last; each file defines one family.

Parameters and statistics are float32. Layers with parameters (convolutions, `Dense`,
normalizations) and `FilterBank` compute in their attribute `dtype` and return this
dtype, except that statistics are never reduced below float32. If `dtype` is None, the
layer computes in float64 for float64 inputs, and in float32 for all other inputs,
including bfloat16 and integers.

Layers without parameters (pooling, dropout, `LocalResponseNorm`, activations) and
`SqueezeExcitation` keep the dtype of their input; they accumulate sums in float32. For
integer inputs, maxima are integers; means, norms and filters are float32.
"""

from cnn_jax.layers.activation import ACTIVATIONS, Activation, activation
from cnn_jax.layers.context import ASPP, ContextModule
from cnn_jax.layers.convolution import (
    Conv,
    DepthwiseConv,
    convolve,
    depthwise_normal,
    kaiming_normal_fan_out,
)
from cnn_jax.layers.coord_conv import CoordConv
from cnn_jax.layers.cosine import CosineDense, l2_normalize
from cnn_jax.layers.dense import Dense
from cnn_jax.layers.described import Described
from cnn_jax.layers.factorized import Conv2Plus1D, FlattenedConv, SeparableConv
from cnn_jax.layers.filters import (
    FILTERS,
    FilterBank,
    apply_filter,
    gaussian,
    gradient_magnitude,
)
from cnn_jax.layers.fire import Fire
from cnn_jax.layers.grids import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    SpatialPyramidPool,
    adaptive_avg_pool,
    adaptive_max_pool,
    spatial_pyramid_pool,
)
from cnn_jax.layers.inception import (
    AuxiliaryPool,
    ConvUnit,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionV1,
)
from cnn_jax.layers.inverted_residual import InvertedResidual
from cnn_jax.layers.matrix import convolve_as_matrix_product, im2col, patches
from cnn_jax.layers.normalization import (
    BATCH_AXIS,
    FROZEN,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    adaptive_instance_norm,
    batch_norm,
    channel_moments,
    local_response_norm,
)
from cnn_jax.layers.norms import NORMS, NormDef, norm, normalized
from cnn_jax.layers.pooling import (
    AvgPool,
    Flatten,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    avg_pool,
    flatten,
    global_avg_pool,
    lp_pool,
    max_pool,
)
from cnn_jax.layers.regularization import Dropout, SpatialDropout, StochasticDepth
from cnn_jax.layers.residual import (
    SHORTCUTS,
    BasicBlock,
    Bottleneck,
    PreActBasicBlock,
    PreActBottleneck,
)
from cnn_jax.layers.resizing import Resize, resize_bilinear
from cnn_jax.layers.sharing import (
    SHARING,
    DepthSharedConv,
    LocallyConnected,
    Repeat,
)
from cnn_jax.layers.squeeze_excitation import SqueezeExcitation
from cnn_jax.layers.transposed import ConvTranspose, filter_gradient, input_gradient
from cnn_jax.layers.upsampling import (
    PixelShuffle,
    pixel_shuffle,
    upsample_bicubic,
    upsample_nearest,
)
from cnn_jax.layers.whitening import WhiteningConv, whitening_kernel

__all__ = [
    "ACTIVATIONS",
    "ASPP",
    "BATCH_AXIS",
    "FILTERS",
    "FROZEN",
    "NORMS",
    "SHARING",
    "SHORTCUTS",
    "Activation",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AuxiliaryPool",
    "AvgPool",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "ContextModule",
    "Conv",
    "Conv2Plus1D",
    "ConvTranspose",
    "ConvUnit",
    "CoordConv",
    "CosineDense",
    "Dense",
    "DepthSharedConv",
    "DepthwiseConv",
    "Described",
    "Dropout",
    "FilterBank",
    "Fire",
    "Flatten",
    "FlattenedConv",
    "GlobalAvgPool",
    "GroupNorm",
    "InceptionA",
    "InceptionB",
    "InceptionC",
    "InceptionD",
    "InceptionE",
    "InceptionV1",
    "InstanceNorm",
    "InvertedResidual",
    "LayerNorm",
    "LocalResponseNorm",
    "LocallyConnected",
    "LpPool",
    "MaxPool",
    "NormDef",
    "PixelShuffle",
    "PreActBasicBlock",
    "PreActBottleneck",
    "Repeat",
    "Resize",
    "SeparableConv",
    "SpatialDropout",
    "SpatialPyramidPool",
    "SqueezeExcitation",
    "StochasticDepth",
    "WhiteningConv",
    "activation",
    "adaptive_avg_pool",
    "adaptive_instance_norm",
    "adaptive_max_pool",
    "apply_filter",
    "avg_pool",
    "batch_norm",
    "channel_moments",
    "convolve",
    "convolve_as_matrix_product",
    "depthwise_normal",
    "filter_gradient",
    "flatten",
    "gaussian",
    "global_avg_pool",
    "gradient_magnitude",
    "im2col",
    "input_gradient",
    "kaiming_normal_fan_out",
    "l2_normalize",
    "local_response_norm",
    "lp_pool",
    "max_pool",
    "norm",
    "normalized",
    "patches",
    "pixel_shuffle",
    "resize_bilinear",
    "spatial_pyramid_pool",
    "upsample_bicubic",
    "upsample_nearest",
    "whitening_kernel",
]
