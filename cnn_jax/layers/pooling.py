"""Pooling, and flattening of maps to vectors, as functions and modules.

The modules have no parameters. They give pooling a name in the layer table and in
captured intermediates.

Maxima keep the dtype of their input, also for integers. Means and norms are accumulated
in float32 and returned in the input's dtype, or in float32 for integers.
"""

import dataclasses
import math
from functools import reduce
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Real

from cnn_jax.core.errors import UserError
from cnn_jax.kernels.max_pooling import window_max
from cnn_jax.kernels.windows import Pairs, reduce_windows, taps
from cnn_jax.layers import arithmetic, formulas
from cnn_jax.layers.described import Described, Shape
from cnn_jax.layers.naming import named, where
from cnn_jax.layers.windows import Padding, Size, explicit, per_dimension

Maps = Real[Array, "batch *space channels"]
Out = Real[Array, "batch *out channels"]
Sizes = tuple[int, ...]  # one entry for each spatial dimension


def inexact_dtype(x: Array) -> DTypeLike:
    """Returns the dtype of `x`, or float32 for integers, which hold no fractions."""
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32


def max_pool(
    x: Maps,
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Out:
    """Returns the largest value of each window; padding is never the largest.

    If `strides` is None, the strides equal the window, so that windows neither overlap
    nor leave gaps.
    `dilation` is the distance between two values of a window. A dilated window that
    contains only padding, which small inputs allow, gives 0, here and in the other
    poolings. With `ceil_mode` a last window may reach beyond the padded input, as in
    Caffe and PyTorch.

    Raises:
      UserError: a size is invalid, the window does not fit the input, or padding is as
        large as the window, so that a window could be empty.
    """
    window, strides, dilation, given, pairs = _geometry(
        x, window, strides, padding, dilation, ceil_mode
    )
    y = window_max(x, window, strides, dilation, pairs)
    none = ((0, 0),) * len(given)
    counts = _counts(x.shape, y.shape, window, strides, dilation, pairs, none)
    return y if counts.all() else jnp.where(counts[..., None] > 0, y, 0)


def avg_pool(
    x: Maps,
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Out:
    """Returns the mean of each window, accumulated in float32.

    With `count_include_pad`, padding zeros count in the mean, as in PyTorch and Caffe.
    If it is false, only the input's values count, as in TensorFlow. Values that
    `ceil_mode` adds at the end never count. See `max_pool` for the other arguments and
    the errors.
    """
    window, strides, dilation, given, pairs = _geometry(
        x, window, strides, padding, dilation, ceil_mode
    )
    sums = _sums(x, window, strides, dilation, pairs)
    counted = given if count_include_pad else ((0, 0),) * len(given)
    counts = _counts(x.shape, sums.shape, window, strides, dilation, pairs, counted)
    return (sums / np.maximum(counts, 1)[..., None]).astype(inexact_dtype(x))


def lp_pool(
    x: Maps,
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    p: float = 2.0,
) -> Out:
    """Returns the p-norm of each window, (sum |x|^p)^(1/p), accumulated in float32.

    For p=1 the norm is the sum of the absolute values; for p towards infinity it
    becomes the maximum of the absolute values (Sermanet et al. 2012, "Convolutional
    Neural Networks Applied to House Numbers Digit Classification"). Values beyond the
    border are zeros. PyTorch's pooling differs in two ways: it takes no absolute values
    for an odd p, and it scales windows that `ceil_mode` cuts off as if they were whole.
    See `max_pool` for the other arguments and errors.

    Raises:
      UserError: p is infinite or below 1, where the formula is not a norm.
    """
    if not 1 <= p < math.inf:
        raise UserError(
            f"p={p} of Lp pooling must be at least 1; p=inf is max pooling."
        )
    window, strides, dilation, _, pairs = _geometry(
        x, window, strides, padding, dilation, ceil_mode
    )
    y = jnp.abs(x.astype(jnp.float32))
    # The norm over a window is a norm along one dimension of norms along the others.
    for axis in range(len(window)):

        def along(values, rest, axis=axis):
            return tuple(v if i == axis else rest for i, v in enumerate(values))

        y = _norm(
            taps(
                jnp.pad(y, [(0, 0), *along(pairs, (0, 0)), (0, 0)]),
                along(window, 1),
                along(strides, 1),
                along(dilation, 1),
            ),
            p,
        )
    return y.astype(inexact_dtype(x))


def global_avg_pool(x: Maps) -> Real[Array, "batch channels"]:
    """Returns the mean of each map (Lin et al. 2014, "Network in Network")."""
    means = x.mean(axis=tuple(range(1, x.ndim - 1)), dtype=jnp.float32)
    return means.astype(inexact_dtype(x))


def flatten(x: Real[Array, "batch *features"]) -> Real[Array, "batch flat"]:
    """Returns the values of each example as a vector, in row-major order (H, W, C)."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class _Pool(Described, nn.Module):
    """The base class of poolings; its attributes are the arguments of `max_pool`."""

    kind: ClassVar[str]

    window: Size
    strides: Size | None = None
    padding: Padding = 0
    dilation: Size = 1
    ceil_mode: bool = False

    def arguments(self) -> dict[str, Any]:
        """Returns all attributes by name, with the attributes of subclasses."""
        fields = dataclasses.fields(self)
        own = [f.name for f in fields if f.name not in ("parent", "name")]
        return {name: getattr(self, name) for name in own}

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        rank = len(in_shape) - 1
        window = formulas.by(per_dimension(self.window, rank))
        geometry = formulas.geometry(
            in_shape[:-1],
            self.window,
            self.window if self.strides is None else self.strides,
            self.padding,
            self.dilation,
            self.ceil_mode,
        )
        words = f"{window} pool, {formulas.attributes(geometry, padding=False)}"
        return (
            f"{self.kind} Pooling ({window})",
            f"{words}{self.more_words()}; {formulas.sizes(geometry)}",
        )

    @nn.nowrap
    def more_words(self) -> str:
        """Returns words that a subclass adds to the explanation; "" by default."""
        return ""


class MaxPool(_Pool):
    """`max_pool` as a module; the attributes are its arguments."""

    kind = "Max"

    def __call__(self, x: Maps) -> Out:
        with named(where(self)):
            return max_pool(x, **self.arguments())


class AvgPool(_Pool):
    """`avg_pool` as a module; the attributes are its arguments."""

    kind = "Average"

    count_include_pad: bool = True

    def __call__(self, x: Maps) -> Out:
        with named(where(self)):
            return avg_pool(x, **self.arguments())

    @nn.nowrap
    def more_words(self) -> str:
        return "" if self.count_include_pad else ", padding not counted"


class LpPool(_Pool):
    """`lp_pool` as a module; the attributes are its arguments."""

    kind = "Lp"

    p: float = 2.0

    def __call__(self, x: Maps) -> Out:
        with named(where(self)):
            return lp_pool(x, **self.arguments())

    @nn.nowrap
    def more_words(self) -> str:
        return f", p = {self.p:g}"


class GlobalAvgPool(Described, nn.Module):
    """`global_avg_pool` as a module."""

    def __call__(self, x: Maps) -> Real[Array, "batch channels"]:
        return global_avg_pool(x)

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        return "Global Average Pooling", f"mean of {formulas.by(in_shape[:-1])} values"


class Flatten(Described, nn.Module):
    """`flatten` as a module."""

    def __call__(self, x: Real[Array, "batch *features"]) -> Real[Array, "batch flat"]:
        return flatten(x)

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        product = formulas.by(in_shape, "*")
        return "-", f"Flatten to 1D; {product} = {math.prod(in_shape):,}"


def _geometry(
    x: Array,
    window: Size,
    strides: Size | None,
    padding: Padding,
    dilation: Size,
    ceil_mode: bool,
) -> tuple[Sizes, Sizes, Sizes, Pairs, Pairs]:
    """Returns window, strides, dilation and two paddings, along each dimension.

    The first padding is the given padding. The second padding also has the values that
    ceil mode adds at the end.
    """
    space = x.shape[1:-1]
    window, strides, given, dilation = explicit(
        space,
        window,
        window if strides is None else strides,
        padding,
        dilation,
        name="window",
    )
    extents = [d * (f - 1) + 1 for f, d in zip(window, dilation, strict=True)]
    if any(max(pair) >= size for pair, size in zip(given, extents, strict=True)):
        raise UserError(
            f"padding {given} is too large for the pooling window {window}: some "
            "windows would contain only padding. Use less padding."
        )
    pairs = given
    if ceil_mode:
        outputs = [
            arithmetic.output_size(
                n, f, stride=s, padding=pair, dilation=d, ceil_mode=True
            )
            for n, f, s, pair, d in zip(
                space, window, strides, given, dilation, strict=True
            )
        ]
        needed = [
            (m - 1) * s + extent - n - pair[0]
            for m, s, extent, n, pair in zip(
                outputs, strides, extents, space, given, strict=True
            )
        ]
        pairs = tuple(
            (pair[0], max(pair[1], end))
            for pair, end in zip(given, needed, strict=True)
        )
    return window, strides, dilation, given, pairs


def _norm(parts, p):
    """Returns (sum x^p)^(1/p) over the arrays `parts`, element by element.

    No element is negative. The arrays are divided by their largest value first, so that
    powers neither overflow nor vanish. The norm scales with its input, so the division
    does not change the gradient.
    """
    largest = lax.stop_gradient(reduce(jnp.maximum, parts))
    scale = jnp.where((largest > 0) & (largest < jnp.inf), largest, 1)
    sums = sum((part / scale) ** p for part in parts)
    # At zero, where the root's derivative is infinite, the derivative is defined as 0.
    zero = sums == 0
    return jnp.where(zero, 0, scale * jnp.where(zero, 1, sums) ** (1 / p))


def _sums(x, window, strides, dilation, pairs: Pairs):
    """Returns the sum of each window in float32; `pairs` is the padding."""
    return reduce_windows(
        x.astype(jnp.float32), 0.0, lax.add, window, strides, dilation, pairs
    )


def _counts(in_shape, out_shape, window, strides, dilation, pairs: Pairs, counted):
    """Returns for each window the number of values that count in its mean.

    A value counts if it lies in the input or in the padding `counted`. The number is a
    product of one factor for each dimension, computed from the shapes alone.

    Args:
      pairs: the whole padding.
      counted: the part of the padding that counts.
    """
    factors = []
    geometry = zip(window, strides, dilation, pairs, counted, strict=True)
    for axis, (f, s, d, pair, (before, after)) in enumerate(geometry, start=1):
        starts = np.arange(out_shape[axis]) * s - pair[0]
        places = starts[:, None] + np.arange(f) * d
        inside = (places >= -before) & (places < in_shape[axis] + after)
        factors.append(inside.sum(1, dtype=np.float32))
    return reduce(np.multiply.outer, factors)
