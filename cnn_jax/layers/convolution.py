"""Convolution over one, two or three spatial dimensions, channels last."""

import math
from collections.abc import Sequence, Sized
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError
from cnn_jax.kernels import convolution, convolution_xla
from cnn_jax.kernels.windows import Pairs
from cnn_jax.layers import arithmetic, formulas
from cnn_jax.layers.described import Described, Shape
from cnn_jax.layers.initializers import variance_scaling
from cnn_jax.layers.naming import named, where
from cnn_jax.layers.windows import Padding, Size, explicit_padding, per_dimension

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out features"]

# He et al. 2015, "Delving Deep into Rectifiers", section 2.2, in the backward (fan-out)
# form of torchvision's ResNet: `kaiming_normal_(mode="fan_out")`. As in PyTorch, the
# fan ignores groups.
kaiming_normal_fan_out = variance_scaling(2.0, "fan_out", "normal")

# Keeps the variance of each map for kernels with one input channel. He's formula
# ignores groups, so it would make maps smaller by the square root of their number.
depthwise_normal = variance_scaling(1.0, "fan_in", "normal")


def convolve(
    x: Float[Array, "batch *space channels"],
    kernel: Float[Array, "*window channels_per_group features"],
    *,
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch *out features"]:
    """Returns the convolution (cross-correlation) of `x` with `kernel`.

    `kernels.convolution` chooses how a backend computes the convolution.
    """
    return convolution.convolution(
        x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups
    )


def computation_dtype(dtype: DTypeLike | None, x: Array) -> DTypeLike:
    """Returns the dtype in which a layer computes its output from `x`.

    The result is `dtype`. If `dtype` is None, the result is float64 for a float64 `x`
    and float32 for any other `x`, as in linen's layers with float32 parameters.
    """
    return dtype or jnp.promote_types(x.dtype, jnp.float32)


class Windowed(Described, nn.Module):
    """The base class of layers with a spatial kernel.

    The methods read attributes of `Conv`, which subclasses must have.
    """

    # The number of dimensions of a kernel whose size is one integer.
    rank: ClassVar[int] = 2

    @property
    def window(self) -> tuple[int, ...]:
        """The kernel's size along each dimension."""
        size = self.kernel_size
        rank = len(size) if isinstance(size, Sized) else self.rank
        return per_dimension(size, rank, "kernel_size", least=1)

    @property
    def where(self) -> str:
        """The layer's name in error messages."""
        return where(self)

    def steps(
        self, x: Array, features: int, groups: int
    ) -> tuple[tuple[int, ...], ...]:
        """Returns strides and dilation along each dimension.

        Raises:
          UserError: an attribute has an invalid value, `groups` does not divide the
            channels, or the input and the kernel differ in their number of dimensions.
        """
        with named(self.where):
            window, channels = self.window, x.shape[-1]
            rank = len(window)
            if rank not in convolution_xla.RANKS:
                raise UserError(
                    f"kernel_size={window} has {rank} entries: a convolution has one, "
                    "two or three spatial dimensions."
                )
            if x.ndim != rank + 2:
                raise UserError(
                    f"a kernel of {window} cannot take an input of shape {x.shape}: "
                    f"the input needs {rank + 2} dimensions (batch, {rank} in space, "
                    "channels)."
                )
            if features < 1 or groups < 1:
                raise UserError(
                    f"features={features} and groups={groups} must be at least 1."
                )
            if channels % groups or features % groups:
                raise UserError(
                    f"groups={groups} must divide the number of input channels, "
                    f"{channels}, and the number of output channels, {features}."
                )
            return (
                per_dimension(self.strides, rank, "strides", least=1),
                per_dimension(self.dilation, rank, "dilation", least=1),
            )

    def geometry(
        self, x: Array, features: int, groups: int
    ) -> tuple[tuple[int, ...], Pairs, tuple[int, ...]]:
        """Returns strides, padding and dilation; raises the errors of `Conv`."""
        strides, dilation = self.steps(x, features, groups)
        padding = explicit_padding(
            self.padding, x.shape[1:-1], self.window, strides, dilation, self.where
        )
        return strides, padding, dilation

    def add_bias(self, y: Array, shape: tuple[int, ...]) -> Array:
        """Returns `y` plus the parameter "bias" of this shape, if there is a bias."""
        if not self.use_bias:
            return y
        bias = self.param("bias", self.bias_init, shape, jnp.float32)
        return y + bias.astype(y.dtype)

    def convolution(
        self,
        x: Maps,
        features: int,
        groups: int,
        kernel_init: Initializer | None = None,
    ) -> Out:
        """Applies a convolution with the parameters "kernel" and "bias".

        Args:
          kernel_init: the initializer of the kernel; None is the attribute.
        """
        strides, padding, dilation = self.geometry(x, features, groups)
        shape = (*self.window, x.shape[-1] // groups, features)
        init = kernel_init or self.kernel_init
        kernel = self.param("kernel", init, shape, jnp.float32)
        dtype = computation_dtype(self.dtype, x)
        y = convolve(
            x.astype(dtype),
            kernel.astype(dtype),
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        return self.add_bias(y, (features,))

    @nn.nowrap
    def groups_of(self, channels: int) -> int:
        """Returns the number of groups for an input with this number of channels."""
        return self.groups

    @nn.nowrap
    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        channels = in_shape[-1]
        return arithmetic.conv_macs(
            out_shape[:-1],
            self.window,
            channels,
            out_shape[-1],
            groups=self.groups_of(channels),
        )

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        channels = in_shape[-1]
        depthwise = self.groups_of(channels) == channels > 1
        kind = "Depthwise Convolution" if depthwise else "Convolution"
        return self.explain_as(kind, in_shape, out_shape)

    @nn.nowrap
    def explain_as(
        self, kind: str, in_shape: Shape, out_shape: Shape, places: Shape = ()
    ) -> tuple[str, str]:
        """Returns the explanation of a convolution; see `Described.explain`.

        Args:
          kind: the kind of the layer, such as "Depthwise Convolution".
          places: the spatial size of the output, if each output pixel has its own
            kernel (locally connected layers); () if all pixels share one kernel.
        """
        dimensions = formulas.geometry(
            in_shape[:-1], self.window, self.strides, self.padding, self.dilation
        )
        return self.explain_with(
            kind,
            formulas.attributes(dimensions, padding=True),
            formulas.sizes(dimensions),
            in_shape,
            out_shape,
            places,
        )

    @nn.nowrap
    def explain_with(
        self,
        kind: str,
        attributes: str,
        sizes: str,
        in_shape: Shape,
        out_shape: Shape,
        places: Shape = (),
    ) -> tuple[str, str]:
        """Returns the explanation of a layer from its parts; see `Described.explain`.

        Args:
          kind, places: see `explain_as`.
          attributes: the text about stride, padding and dilation.
          sizes: the formulas of the output size, as text.
        """
        channels, features = in_shape[-1], out_shape[-1]
        groups, window = self.groups_of(channels), formulas.by(self.window)
        words = [f"{features} filters of {window}", attributes]
        if groups > 1:
            words.append(f"{groups} groups")
        if not self.use_bias:
            words.append("no bias")
        per_group = f"{channels}/{groups}" if groups > 1 else channels
        kernels = math.prod(places)
        weights = formulas.weights(
            (*places, *self.window, per_group, features),
            kernels * features * self.use_bias,
            kernels
            * arithmetic.conv_parameters(
                self.window, channels, features, groups=groups, use_bias=self.use_bias
            ),
        )
        return f"{kind} ({window})", "; ".join([", ".join(words), weights, sizes])


class ConvLike(Windowed):
    """The base class of layers that can replace a `Conv`.

    Subclasses have the attributes of `Conv` in the same order, so that a network's
    `conv` can be a partial of any subclass.
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


class Conv(ConvLike):
    """A convolution with a learned kernel "kernel" (HWIO) and bias "bias", float32.

    Attributes:
      features: output channels.
      kernel_size: one entry for each dimension of the kernel (three for video); an
        integer means a square over two dimensions.
      strides: distance between two outputs.
      padding: see `windows.Padding`; `kernel_size // 2` is PyTorch's "same".
      dilation: distance between two taps of the kernel (Yu and Koltun 2016).
      groups: number of independent convolutions among which channels are split.
      dtype: dtype of the computation and the output; None is float32
        (`computation_dtype`).

    Raises:
      UserError: a size is invalid, the kernel does not fit the input or has another
        number of dimensions, or `groups` does not divide the channels.
    """

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        return self.convolution(x, self.features, self.groups)


class DepthwiseConv(Windowed):
    """A convolution of each channel by itself, to `multiplier` maps for each channel.

    The layer equals a `Conv` with as many groups as channels. The maps of one channel
    are adjacent. The layer has the attributes and errors of `Conv`, without `features`.
    """

    kernel_size: Size
    strides: Size = 1
    padding: Padding = "SAME"
    dilation: Size = 1
    multiplier: int = 1
    use_bias: bool = True
    dtype: DTypeLike | None = None
    kernel_init: Initializer = depthwise_normal
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        return self.convolution(x, x.shape[-1] * self.multiplier, x.shape[-1])

    @nn.nowrap
    def groups_of(self, channels: int) -> int:
        return channels
