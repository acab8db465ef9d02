"""Context modules: dilated convolutions that see a large area around each pixel.

The modules keep the size of the map. For clips, all windows lie within one frame.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.layers import initializers
from cnn_jax.layers.convolution import Conv
from cnn_jax.layers.pooling import global_avg_pool
from cnn_jax.layers.residual import ModuleDef

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *space features"]

# Yu and Koltun 2016, table 1: the dilations of the 3x3 convolutions, and the channels
# of their outputs as multiples of the input's channels, for both forms.
RATES = (1, 1, 2, 4, 8, 16, 1)
BASIC = (1, 1, 1, 1, 1, 1, 1)
LARGE = (2, 2, 4, 8, 16, 32, 32)
# Standard deviation of the large form's noise, relative to the identity's weights.
NOISE = 0.01


def in_frame(size: int, rank: int) -> tuple[int, ...]:
    """Returns `size` for height and width, and 1 for all dimensions before them."""
    return (1,) * (rank - 2) + (size,) * min(rank, 2)


def identity(channels: int, noise: float = 0.0) -> initializers.Init:
    """Returns an initializer of kernels that pass maps on unchanged.

    Yu and Koltun 2016, equations 4 and 5: the module's input has C channels. The c_out
    channels of each layer form C groups of equal size, one for each channel of the
    module's input. In the middle of the window, the weight is C / c_out if the input
    and the output channel belong to the same group, so that the sum of a group is kept.
    All other weights are random.

    Args:
      channels: the number C.
      noise: the standard deviation of the random weights, times c_out / C.
    """

    def init(key: Any, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
        *window, before, after = shape
        groups = [jnp.arange(n) * channels // n for n in (before, after)]
        same = groups[0][:, None] == groups[1]
        kernel = jnp.zeros(shape)
        if noise:
            kernel = initializers.normal(noise)(key, shape)
        center = tuple(size // 2 for size in window)
        kernel = kernel.at[center].set(jnp.where(same, 1.0, kernel[center]))
        return (kernel * (channels / after)).astype(dtype)

    return init


class ContextModule(nn.Module):
    """Seven 3x3 convolutions of growing dilation and a 1x1 convolution, from C maps to
    C maps (Yu and Koltun 2016, "Multi-Scale Context Aggregation by Dilated
    Convolutions", section 3), with zero padding.

    Each output sees 67x67 input pixels. The basic form has 64 C^2 weights and 8 C
    biases. ReLU follows every convolution but the last. Kernels start as the
    `identity`, so at first the module returns its input without negative values. Module
    names: `conv1`, ..., `conv8`.

    Attributes:
      large: use up to 32 times as many channels inside; kernels start with noise.
    """

    large: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        channels, rank = x.shape[-1], x.ndim - 2
        conv = partial(
            Conv,
            dtype=self.dtype,
            kernel_init=identity(channels, NOISE if self.large else 0.0),
        )
        multiples = LARGE if self.large else BASIC
        for i, (rate, multiple) in enumerate(zip(RATES, multiples, strict=True), 1):
            x = conv(
                channels * multiple,
                in_frame(3, rank),
                dilation=in_frame(rate, rank),
                name=f"conv{i}",
            )(x)
            x = nn.relu(x)
        return conv(channels, in_frame(1, rank), name="conv8")(x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking Atrous Convolution
    for Semantic Image Segmentation", section 3.3).

    Parallel branches: a 1x1 convolution, 3x3 convolutions of several dilations, and a
    1x1 convolution of the mean of the whole map, repeated at every pixel. A 1x1
    convolution of the concatenated branches follows. Module names: `pointwise`,
    `dilated1`, ..., `pooled`, `project`.

    Attributes:
      features: channels of each convolution.
      rates: dilations of the 3x3 convolutions.
      conv: makes a convolution with normalization and ReLU, a partial of `ConvUnit`.
    """

    features: int
    rates: Sequence[int]
    conv: ModuleDef

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        rank = x.ndim - 2
        conv, pixel = partial(self.conv, self.features), in_frame(1, rank)
        branches = [conv(pixel, name="pointwise")(x)]
        for i, rate in enumerate(self.rates, start=1):
            spread = in_frame(rate, rank)
            unit = conv(in_frame(3, rank), dilation=spread, name=f"dilated{i}")
            branches.append(unit(x))
        mean = jnp.expand_dims(global_avg_pool(x), tuple(range(1, rank + 1)))
        mean = conv(pixel, name="pooled")(mean)
        branches.append(jnp.broadcast_to(mean, branches[0].shape))
        return conv(pixel, name="project")(jnp.concatenate(branches, axis=-1))
