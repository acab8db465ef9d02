"""Pooling and the way from maps to vectors: functions, and modules that apply them.

The modules hold no parameters. They exist so that pooling has a name in the layer
table and in captured intermediates.
"""

import itertools
import math
from collections.abc import Sequence
from functools import reduce

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from cnn_jax.errors import UserError
from cnn_jax.layers import arithmetic
from cnn_jax.layers.windows import (
    Padding,
    Pairs,
    Size,
    explicit_padding,
    per_dimension,
)

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out channels"]


def max_pool(
    x: Maps,
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Out:
    """The largest value of each window; padding never wins.

    `strides` None is the window itself, so that windows touch without overlap.
    `dilation` is the distance between two values of a window. With `ceil_mode` a
    last window may reach beyond the padded input, as in Caffe and PyTorch.

    Raises:
      UserError: the window does not fit the input.
      ValueError: padding as large as the window, which would leave one empty.
    """
    window, strides, dilation, _, pairs = _geometry(
        x, window, strides, padding, dilation, ceil_mode
    )
    return _reduce(x, -jnp.inf, lax.max, window, strides, dilation, pairs)


def avg_pool(
    x: Maps,
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Out:
    """The mean of each window, accumulated in float32.

    `count_include_pad` says whether padding zeros count in the mean, as in PyTorch
    and Caffe, or only the values of the input do, as in TensorFlow; what `ceil_mode`
    adds at the end never counts. The other arguments and errors are those of
    `max_pool`.
    """
    window, strides, dilation, given, pairs = _geometry(
        x, window, strides, padding, dilation, ceil_mode
    )
    sums = _sums(x, window, strides, dilation, pairs)
    counted = given if count_include_pad else ((0, 0),) * len(given)
    counts = _counts(x.shape, sums.shape, window, strides, dilation, pairs, counted)
    return (sums / counts[..., None]).astype(x.dtype)


def lp_pool(
    x: Maps,
    p: float,
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Out:
    """The p-norm of each window, (sum |x|^p)^(1/p), accumulated in float32.

    p=1 is the sum of the absolute values, and towards infinity their maximum
    (Sermanet et al. 2012, "Convolutional Neural Networks Applied to House Numbers
    Digit Classification"). Values beyond the border are zeros. PyTorch's differs in
    that it takes no absolute values for an odd p, and scales windows that `ceil_mode`
    cuts off as if they were whole. The other arguments and errors are those of
    `max_pool`.

    Raises:
      UserError: p is below 1, where this is no norm, or infinite.
    """
    if not 1 <= p < math.inf:
        raise UserError(
            f"Lp pooling takes p of at least 1, got {p}; p=inf is max pooling."
        )
    window, strides, dilation, _, pairs = _geometry(
        x, window, strides, padding, dilation, ceil_mode
    )
    powers = jnp.abs(x.astype(jnp.float32)) ** p
    sums = _sums(powers, window, strides, dilation, pairs)
    # The root's derivative is infinite at zero, where the norm's is taken as zero.
    positive = sums > 0
    return jnp.where(positive, jnp.where(positive, sums, 1) ** (1 / p), 0).astype(
        x.dtype
    )


def adaptive_avg_pool(x: Maps, output_size: Size) -> Out:
    """Means over a grid of `output_size` cells, whatever the input's size.

    Along a dimension of n values, cell i of m covers those from floor(i n / m) to
    ceil((i + 1) n / m), as in PyTorch: neighbours overlap where m does not divide n.
    Accumulated in float32.

    Raises:
      UserError: an output size below 1.
    """
    return _adaptive(x.astype(jnp.float32), output_size, jnp.mean).astype(x.dtype)


def adaptive_max_pool(x: Maps, output_size: Size) -> Out:
    """The largest value in each cell of `adaptive_avg_pool`'s grid."""
    return _adaptive(x, output_size, jnp.max)


def spatial_pyramid_pool(
    x: Maps, levels: Sequence[int] = (4, 2, 1)
) -> Float[Array, "batch features"]:
    """Grids of several sizes over the same maps, as one vector.

    Each level n is an `adaptive_max_pool` to n cells a dimension; the vector has
    channels * sum(n ** dimensions) entries whatever the size of the maps (He et al.
    2014, "Spatial Pyramid Pooling in Deep Convolutional Networks").
    """
    return jnp.concatenate([flatten(adaptive_max_pool(x, n)) for n in levels], axis=-1)


def global_avg_pool(x: Maps) -> Float[Array, "batch channels"]:
    """The mean of each map (Lin et al. 2014, "Network in Network")."""
    return x.mean(axis=tuple(range(1, x.ndim - 1)), dtype=jnp.float32).astype(x.dtype)


def flatten(x: Float[Array, "batch *features"]) -> Float[Array, "batch flat"]:
    """All values of an example as one vector, in row-major order (H, W, C)."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class MaxPool(nn.Module):
    """`max_pool` as a module; the attributes are its arguments."""

    window: Size
    strides: Size | None = None
    padding: Padding = 0
    dilation: Size = 1
    ceil_mode: bool = False

    def __call__(self, x: Maps) -> Out:
        return max_pool(
            x, self.window, self.strides, self.padding, self.dilation, self.ceil_mode
        )


class AvgPool(nn.Module):
    """`avg_pool` as a module; the attributes are its arguments."""

    window: Size
    strides: Size | None = None
    padding: Padding = 0
    dilation: Size = 1
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __call__(self, x: Maps) -> Out:
        return avg_pool(
            x,
            self.window,
            self.strides,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.count_include_pad,
        )


class LpPool(nn.Module):
    """`lp_pool` as a module; the attributes are its arguments."""

    p: float
    window: Size
    strides: Size | None = None
    padding: Padding = 0
    dilation: Size = 1
    ceil_mode: bool = False

    def __call__(self, x: Maps) -> Out:
        return lp_pool(
            x,
            self.p,
            self.window,
            self.strides,
            self.padding,
            self.dilation,
            self.ceil_mode,
        )


class AdaptiveAvgPool(nn.Module):
    """`adaptive_avg_pool` as a module."""

    output_size: Size

    def __call__(self, x: Maps) -> Out:
        return adaptive_avg_pool(x, self.output_size)


class AdaptiveMaxPool(nn.Module):
    """`adaptive_max_pool` as a module."""

    output_size: Size

    def __call__(self, x: Maps) -> Out:
        return adaptive_max_pool(x, self.output_size)


class SpatialPyramidPool(nn.Module):
    """`spatial_pyramid_pool` as a module."""

    levels: Sequence[int] = (4, 2, 1)

    def __call__(self, x: Maps) -> Float[Array, "batch features"]:
        return spatial_pyramid_pool(x, self.levels)


class GlobalAvgPool(nn.Module):
    """`global_avg_pool` as a module."""

    def __call__(self, x: Maps) -> Float[Array, "batch channels"]:
        return global_avg_pool(x)


class Flatten(nn.Module):
    """`flatten` as a module."""

    def __call__(
        self, x: Float[Array, "batch *features"]
    ) -> Float[Array, "batch flat"]:
        return flatten(x)


def _geometry(x, window, strides, padding, dilation, ceil_mode):
    """Window, strides, dilation, the padding given and that with ceil mode's rest."""
    rank = x.ndim - 2
    window = per_dimension(window, rank)
    strides = window if strides is None else per_dimension(strides, rank)
    dilation = per_dimension(dilation, rank)
    space = x.shape[1:-1]
    given = explicit_padding(padding, space, window, strides, dilation, "pooling")
    extents = [d * (f - 1) + 1 for f, d in zip(window, dilation, strict=True)]
    if any(max(pair) >= size for pair, size in zip(given, extents, strict=True)):
        raise ValueError(f"pooling window {window} is not larger than padding {given}")
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


def _reduce(x, start, operation, window, strides, dilation, pairs: Pairs):
    """`operation` over each window of `x`, which is padded with `start`."""
    if all(d == 1 for d in dilation):
        whole = lambda values: (1, *values, 1)  # noqa: E731
        return lax.reduce_window(
            x,
            # A concrete number, by which JAX knows the operation and its gradient.
            np.asarray(start, x.dtype),
            operation,
            whole(window),
            whole(strides),
            ((0, 0), *pairs, (0, 0)),
        )
    # XLA has no gradient for the maximum of dilated windows: one slice for each
    # place in the window instead.
    x = jnp.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=start)
    taps = itertools.product(*(range(f) for f in window))
    return reduce(operation, [_tap(x, tap, window, strides, dilation) for tap in taps])


def _tap(x, tap, window, strides, dilation):
    """The values that stand at place `tap` of all windows."""
    slices = []
    for n, i, f, s, d in zip(
        x.shape[1:-1], tap, window, strides, dilation, strict=True
    ):
        last = i * d + (n - d * (f - 1) - 1) // s * s
        slices.append(slice(i * d, last + 1, s))
    return x[(slice(None), *slices)]


def _sums(x, window, strides, dilation, pairs: Pairs):
    return _reduce(
        x.astype(jnp.float32), 0.0, lax.add, window, strides, dilation, pairs
    )


def _counts(in_shape, out_shape, window, strides, dilation, pairs: Pairs, counted):
    """How many of each window's values are in the input or its padding `counted`.

    A product of one factor a dimension, known from the shapes alone.
    """
    factors = []
    geometry = zip(window, strides, dilation, pairs, counted, strict=True)
    for axis, (f, s, d, pair, (before, after)) in enumerate(geometry, start=1):
        starts = np.arange(out_shape[axis]) * s - pair[0]
        places = starts[:, None] + np.arange(f) * d
        inside = (places >= -before) & (places < in_shape[axis] + after)
        factors.append(inside.sum(1, dtype=np.float32))
    return reduce(np.multiply.outer, factors)


def _adaptive(x, output_size, operation):
    sizes = per_dimension(output_size, x.ndim - 2)
    if min(sizes) < 1:
        raise UserError(f"adaptive pooling to {sizes}: sizes are at least 1.")
    for axis, cells in enumerate(sizes, start=1):
        n = x.shape[axis]
        parts = [
            operation(
                lax.slice_in_dim(
                    x, i * n // cells, -(-(i + 1) * n // cells), axis=axis
                ),
                axis=axis,
                keepdims=True,
            )
            for i in range(cells)
        ]
        x = jnp.concatenate(parts, axis=axis)
    return x
