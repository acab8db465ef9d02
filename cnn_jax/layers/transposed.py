"""The gradients of a convolution as functions, and the transposed convolution.

The transposed convolution is the gradient with respect to the input. It leads from a
small map to a large map. Networks that generate or segment images use it to enlarge
maps.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError
from cnn_jax.kernels import convolution, convolution_xla
from cnn_jax.kernels.windows import Pairs
from cnn_jax.layers import arithmetic, formulas
from cnn_jax.layers.convolution import ConvLike, computation_dtype
from cnn_jax.layers.described import Shape
from cnn_jax.layers.naming import named
from cnn_jax.layers.windows import (
    Padding,
    Size,
    explicit,
    explicit_padding,
    per_dimension,
)

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out features"]
Kernel = Float[Array, "*window channels_per_group features"]


def input_gradient(
    gradient: Out,
    kernel: Kernel,
    size: Sequence[int],
    *,
    strides: Size = 1,
    padding: Padding = "SAME",
    dilation: Size = 1,
    groups: int = 1,
) -> Maps:
    """Returns the gradient of `convolve` with respect to its input of spatial `size`.

    The input's gradient is the "full" convolution of the output's gradient with the
    flipped kernel, whose input and output channels are swapped. The stride inserts
    zeros between the values of the output's gradient. For a kernel size f and dilation
    d there are d(f - 1) zeros, minus the padding, before the first of these values, and
    enough zeros after the last value that the result has the given size.

    Args:
      gradient: gradient of the loss with respect to the output.
      kernel, strides, padding, dilation, groups: arguments of the convolution, as in
        `Conv`.

    Raises:
      UserError: a size is invalid, or the kernel does not fit the padded input.
    """
    window, strides, padding, dilation = explicit(
        size, kernel.shape[:-2], strides, padding, dilation
    )
    # An input of `size` may have more outputs than gradients: the others are zero.
    full = convolution_xla.output_size(size, window, strides, padding, dilation)
    missing = [m - n for m, n in zip(full, gradient.shape[1:-1], strict=True)]
    if any(missing):
        gradient = jnp.pad(gradient, [(0, 0), *((0, n) for n in missing), (0, 0)])
    return convolution.input_gradient(
        gradient,
        kernel,
        size=size,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


def filter_gradient(
    x: Maps,
    gradient: Out,
    window: Size,
    *,
    strides: Size = 1,
    padding: Padding = "SAME",
    dilation: Size = 1,
    groups: int = 1,
) -> Kernel:
    """Returns the gradient of `convolve` with respect to its kernel of size `window`.

    The kernel's gradient is a convolution of the input with the output's gradient,
    summed over examples. Its output has the size of the kernel. Stride and dilation
    are swapped.

    Args:
      gradient: gradient of the loss with respect to the output.
      x, strides, padding, dilation, groups: arguments of the convolution, as in `Conv`.

    Raises:
      UserError: a size is invalid, or the window does not fit the padded input.
    """
    window, strides, padding, dilation = explicit(
        x.shape[1:-1], window, strides, padding, dilation, name="window"
    )
    return convolution.filter_gradient(
        x,
        gradient,
        window=window,
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


class ConvTranspose(ConvLike):
    """A transposed convolution: the gradient of a convolution as a layer.

    The layer maps c_in channels to `features`, like the input gradient of a `Conv` from
    `features` to c_in channels with equal attributes. The parameter "kernel" (height,
    width, features / groups, c_in) is the kernel of this `Conv`. Along each dimension
    the output has

        (n - 1) stride + dilation (f - 1) + 1 - before - after + output_padding

    values for n input values and a kernel size f, as in PyTorch
    (`arithmetic.transposed_output_size`). Padding (before, after) crops the output.
    "SAME" gives n * stride values, as in TensorFlow. The layer also has the attributes
    and errors of `Conv`.

    Attributes:
      output_padding: additional values at the end. A convolution with this stride
        turns several lengths into n values; `output_padding` selects one of them.

    Raises:
      UserError: the output would be empty, or `output_padding` is not below stride or
        dilation, or is given with "SAME".
    """

    output_padding: Size = 0

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        channels, window = x.shape[-1], self.window
        strides, dilation = self.steps(x, self.features, self.groups)
        with named(self.where):
            size, padding = self._output(x.shape[1:-1], strides, dilation)
        shape = (*window, self.features // self.groups, channels)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        dtype = computation_dtype(self.dtype, x)
        y = input_gradient(
            x.astype(dtype),
            kernel.astype(dtype),
            size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=self.groups,
        )
        return self.add_bias(y, (self.features,))

    @nn.nowrap
    def _output(self, space, strides, dilation) -> tuple[tuple[int, ...], Pairs]:
        """Returns the spatial size of the output, and the padding that crops it."""
        extra = per_dimension(self.output_padding, len(space), "output_padding")
        for more, s, d in zip(extra, strides, dilation, strict=True):
            if more >= max(s, d):
                raise UserError(
                    f"output_padding={self.output_padding} must be less than the "
                    f"larger of strides={strides} and dilation={dilation}, along each "
                    "dimension."
                )
        same = self.padding == "SAME"
        if same and any(extra):
            raise UserError(
                f"output_padding={self.output_padding} is not possible with "
                'padding="SAME", whose output size is always the input size times the '
                "stride: leave output_padding out."
            )
        # This is the gradient of a convolution from the output to the input. If the
        # padding does not depend on the size, any size that fits the window will do.
        sizes = [
            n * s if same else d * (f - 1) + 1
            for n, f, s, d in zip(space, self.window, strides, dilation, strict=True)
        ]
        padding = explicit_padding(self.padding, sizes, self.window, strides, dilation)
        if same:
            return tuple(sizes), padding
        size = tuple(
            arithmetic.transposed_output_size(
                n, f, stride=s, padding=pair, dilation=d, output_padding=more
            )
            for n, f, s, pair, d, more in zip(
                space, self.window, strides, padding, dilation, extra, strict=True
            )
        )
        return size, padding

    @nn.nowrap
    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        return arithmetic.transposed_macs(
            in_shape[:-1], self.window, in_shape[-1], out_shape[-1], groups=self.groups
        )

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        space, rank = in_shape[:-1], len(in_shape) - 1
        strides = per_dimension(self.strides, rank)
        dilation = per_dimension(self.dilation, rank)
        extra = per_dimension(self.output_padding, rank)
        _, pairs = self._output(space, strides, dilation)
        padding = self.padding
        words = [f"stride {formulas.uniform(strides)}"]
        given = isinstance(padding, str)
        words.append(f"padding {padding if given else formulas.zeros(pairs)}")
        if max(dilation) > 1:
            words.append(f"dilation {formulas.uniform(dilation)}")
        if any(extra):
            words.append(f"output padding {formulas.uniform(extra)}")
        if padding == "SAME":
            lengths = [
                f"{n}*{s} = {n * s}" for n, s in zip(space, strides, strict=True)
            ]
        else:
            lengths = [
                _length(*dimension)
                for dimension in zip(
                    space, self.window, strides, pairs, dilation, extra, strict=True
                )
            ]
        sizes = ", ".join(dict.fromkeys(lengths))
        return self.explain_with(
            "Transposed Convolution", ", ".join(words), sizes, in_shape, out_shape
        )


def _length(n: int, f: int, s: int, pair: tuple[int, int], d: int, extra: int) -> str:
    """Returns the formula of the output's length along one dimension, as text.

    Args:
      n, f, s, d: input size, kernel size, stride and dilation.
      pair: the padding (before, after).
      extra: the output padding.
    """
    before, after = pair
    size = arithmetic.transposed_output_size(
        n, f, stride=s, padding=pair, dilation=d, output_padding=extra
    )
    zeros = f"2*{before}" if before == after else f"({before} + {after})"
    reach = f"{d}*({f} - 1)" if d > 1 else f"({f} - 1)"
    rest = f" + {extra}" if extra else ""
    return f"({n} - 1)*{s} - {zeros} + {reach}{rest} + 1 = {size}"
