"""Parameter sharing: layers that share weights over space, over depth, or not at all.

A convolution shares one kernel over all positions. `SHARING` lists alternatives for
comparison. Each alternative takes the attributes of `Conv`, so that a network's `conv`
can be a partial of any alternative.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError
from cnn_jax.layers.convolution import (
    Conv,
    ConvLike,
    computation_dtype,
)
from cnn_jax.layers.described import Shape
from cnn_jax.layers.matrix import patches
from cnn_jax.layers.naming import where
from cnn_jax.layers.windows import Size

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out features"]


class LocallyConnected(ConvLike):
    """A convolution with a separate kernel for each output pixel.

    LeCun 1989, "Generalization and Network Design Strategies"; Taigman et al. 2014,
    "DeepFace". The parameters are "kernel", (*out, *window, channels / groups,
    features), and "bias", (*out, features), so they fit only one size of the input. The
    layer also has the attributes and errors of `Conv`.

    Attributes:
      kernel_init: initializer of each single pixel's kernel.

    Raises:
      UserError: the parameters were made for another size of the input.
    """

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        groups = self.groups
        strides, padding, dilation = self.geometry(x, self.features, groups)
        per_group = x.shape[-1] // groups
        dtype = computation_dtype(self.dtype, x)
        values = patches(
            x.astype(dtype),
            self.window,
            strides=strides,
            padding=padding,
            dilation=dilation,
        )
        batch, *out, taps, _ = values.shape
        positions = math.prod(out)
        shape = (*out, *self.window, per_group, self.features)
        if self.has_variable("params", "kernel"):
            known: tuple[int, ...] = self.get_variable("params", "kernel").shape
            if known[: len(out)] != tuple(out):
                raise UserError(
                    f"{self.where}: the parameters of this layer are for an output of "
                    f"{known[: len(out)]}, but this input gives an output of "
                    f"{tuple(out)}. Use inputs of the size for which the layer was "
                    "initialized."
                )
        kernel = self.param("kernel", self._init_each, shape, jnp.float32)
        y = jnp.einsum(
            "bptgc,ptcgf->bpgf",
            values.reshape(batch, positions, taps, groups, per_group),
            kernel.astype(dtype).reshape(
                positions, taps, per_group, groups, self.features // groups
            ),
        )
        y = y.reshape(batch, *out, self.features)
        return self.add_bias(y, (*out, self.features))

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        return self.explain_as("Locally Connected", in_shape, out_shape, out_shape[:-1])

    def _init_each(self, key, shape, dtype):
        """Returns the kernels of all output positions, drawn one by one.

        An initializer of the whole array would count the positions as inputs (fan-in),
        and draw values that are too small.
        """
        rank = len(self.window)
        keys = jax.random.split(key, math.prod(shape[:rank]))
        kernels = jax.vmap(lambda key: self.kernel_init(key, shape[rank:], dtype))(keys)
        return kernels.reshape(shape)


class Repeat(nn.Module):
    """A block applied several times, one after another, with the same parameters.

    Eigen et al. 2014, "Understanding Deep Architectures Using a Recursive Convolutional
    Network". Batch statistics are shared too: each application updates the running
    statistics.

    Attributes:
      block: makes the module, which must keep the shape of its input. The module is
        called `block`.
      times: number of applications.

    Raises:
      UserError: `times` is below 1.
    """

    block: Callable[..., nn.Module]
    times: int

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        if self.times < 1:
            raise UserError(f"{where(self)}: times={self.times} must be at least 1.")
        block = self.block(name="block")
        for _ in range(self.times):
            x = block(x)
        return x


class DepthSharedConv(ConvLike):
    """A convolution applied several times, one after another, with the same parameters.

    The layer is as deep as `times` layers, and has the parameters of one layer (the
    tied layers of Eigen et al. 2014). A convolution with its own parameters comes first
    if the input does not have `features` channels or if there are strides, like the
    untied layer of the paper. `activation` is applied between any two convolutions.
    Modules: `entry` and `shared`. The layer also has the attributes and errors of
    `Conv`.

    Attributes:
      strides: strides of the first convolution.
      times: number of applications of the shared convolution.
      activation: the non-linearity between two convolutions; none follows the last one.

    Raises:
      UserError: `times` is below 1.
    """

    times: int = 2
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        if self.times < 1:
            raise UserError(f"{self.where}: times={self.times} must be at least 1.")
        strides, _ = self.steps(x, self.features, self.groups)

        def conv(strides: Size, name: str) -> Conv:
            return Conv(
                self.features,
                self.window,
                strides,
                self.padding,
                self.dilation,
                self.groups,
                self.use_bias,
                self.dtype,
                self.kernel_init,
                self.bias_init,
                name=name,
            )

        shared = conv(1, "shared")
        if x.shape[-1] != self.features or max(strides) > 1:
            x = self.activation(conv(strides, "entry")(x))
        x = shared(x)
        for _ in range(self.times - 1):
            x = shared(self.activation(x))
        return x


# What a layer's weights are shared over.
SHARING: dict[str, Callable[..., nn.Module]] = {
    "space": Conv,
    "none": LocallyConnected,
    "depth": DepthSharedConv,
}
