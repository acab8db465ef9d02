"""The largest value of each window, and its gradient, on any backend.

On the CPU, XLA's gradient of `reduce_window` (`select_and_scatter`) takes up to thirty
times as long as one pass over the taps of the window, and `reduce_window` itself twice
as long. XLA may even compute the `reduce_window` again for every value of a following
matrix product. So on the CPU, maxima of floating-point numbers are computed tap by tap
(docs/measured/cpu.md).
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from cnn_jax.kernels.windows import Pairs, reduce_windows, taps

# Each tap of a window adds to the time of compilation.
MAX_TAPS = 32


def window_max(
    x: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: Pairs,
) -> Array:
    """Returns the maximum of each window of (batch, *space, channels).

    Padding never wins, and NaN wins over every number. Among equal values the first one
    gets the gradient.
    """
    geometry = tuple(window), tuple(strides), tuple(dilation), padding
    least = _least(x.dtype)
    if not jnp.issubdtype(x.dtype, jnp.floating) or math.prod(window) > MAX_TAPS:
        return reduce_windows(x, least, lax.max, *geometry)
    return lax.platform_dependent(
        x,
        cpu=lambda x: _spelled_out(x, *geometry),
        default=lambda x: reduce_windows(x, least, lax.max, *geometry),
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _spelled_out(x, window, strides, dilation, padding):
    """Returns the maximum of each window, computed tap by tap."""
    return _first_largest(_taps(x, -jnp.inf, window, strides, dilation, padding))[0]


@_spelled_out.defjvp
def _derivative(window, strides, dilation, padding, primals, tangents):
    """Returns the maxima and their tangents, for `jax.jvp` of `_spelled_out`.

    The tangent of a maximum is the tangent of the input value that is the maximum.
    """
    (x,), (dx,) = primals, tangents
    geometry = (window, strides, dilation, padding)
    y, place = _first_largest(_taps(x, -jnp.inf, *geometry))
    dy = jnp.zeros_like(y)
    for i, tap in enumerate(_taps(dx, 0, *geometry)):
        dy += jnp.where(place == i, tap, 0)
    return y, dy


def _first_largest(places: Sequence[Array]) -> tuple[Array, Array]:
    """Returns the elementwise maximum, and the index of the first array that has it."""
    y, *rest = places
    place = jnp.zeros(y.shape, jnp.int8)
    for i, tap in enumerate(rest, start=1):
        better = (tap > y) | ((tap != tap) & (y == y))
        y = jnp.where(better, tap, y)
        place = jnp.where(better, jnp.int8(i), place)
    return y, place


def _taps(x, fill, window, strides, dilation, padding):
    """Returns the `windows.taps` of `x`, after padding `x` with `fill`."""
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    return taps(x, window, strides, dilation)


def _least(dtype):
    """Returns the smallest value of this dtype."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return -np.inf
    return int(jnp.iinfo(dtype).min)
