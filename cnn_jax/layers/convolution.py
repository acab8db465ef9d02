"""Convolution over one, two or three dimensions in space, channels last."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.errors import UserError
from cnn_jax.layers.windows import (
    Padding,
    Pairs,
    Size,
    explicit_padding,
    per_dimension,
)

# He et al. 2015, "Delving Deep into Rectifiers", section 2.2, in the backward form
# that torchvision's ResNet uses: `kaiming_normal_(mode="fan_out")`. Like PyTorch's,
# the fan does not take groups into account.
kaiming_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

_LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


def convolve(
    x: Float[Array, "batch *space channels"],
    kernel: Float[Array, "*window channels_per_group features"],
    *,
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch *out features"]:
    """The convolution (cross-correlation) of `x` with `kernel`.

    Every convolution of the package passes through here: the one place to choose
    how it is computed on a backend.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[x.ndim - 2],
        feature_group_count=groups,
    )


class Conv(nn.Module):
    """A convolution with learned kernel "kernel" (HWIO) and bias "bias", float32.

    Attributes:
      features: output channels.
      kernel_size: its length says over how many dimensions the kernel moves (3 for
        video); an integer means a square over two.
      strides: distance between two outputs.
      padding: see `windows.Padding`; `kernel_size // 2` is PyTorch's "same".
      dilation: distance between two taps of the kernel (Yu and Koltun 2016).
      groups: channels are split in this many independent convolutions; as many
        groups as input channels is a depthwise convolution.
      dtype: of the computation and the output; None is float32.

    Raises:
      UserError: the kernel does not fit the input, or `groups` does not divide the
        channels.
      ValueError: input and kernel differ in the number of dimensions.
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "SAME"
    dilation: Size = 1
    groups: int = 1
    use_bias: bool = True
    dtype: DTypeLike | None = None
    kernel_init: Initializer = kaiming_normal_fan_out
    bias_init: Initializer = nn.initializers.zeros_init()

    @property
    def window(self) -> tuple[int, ...]:
        """The kernel's size along each dimension."""
        size = self.kernel_size
        return (size, size) if isinstance(size, int) else tuple(size)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *out features"]:
        where = "/".join(self.path) or "Conv"
        window, rank, channels = self.window, len(self.window), x.shape[-1]
        if x.ndim != rank + 2:
            raise ValueError(
                f"{where}: a kernel of {window} takes {rank + 2} dimensions (batch, "
                f"{rank} in space, channels), not an input of {x.shape}"
            )
        if channels % self.groups or self.features % self.groups:
            raise UserError(
                f"{where}: {self.groups} groups do not divide {channels} input and "
                f"{self.features} output channels."
            )
        strides = per_dimension(self.strides, rank)
        dilation = per_dimension(self.dilation, rank)
        padding = explicit_padding(
            self.padding, x.shape[1:-1], window, strides, dilation, where
        )
        shape = (*window, channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        dtype = self.dtype or jnp.float32
        y = convolve(
            x.astype(dtype),
            kernel.astype(dtype),
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=self.groups,
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
            y = y + bias.astype(dtype)
        return y
