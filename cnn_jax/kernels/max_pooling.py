"""The largest value of each window, and its gradient, on any backend.

On the CPU XLA's gradient of `reduce_window` (`select_and_scatter`) takes up to thirty
times as long as one walk over the places of the window, and `reduce_window` itself
twice; worse, XLA may compute it once more for every value of a matrix product that
follows it. There, windows of floating-point numbers are spelled out (docs/cpu.md).
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

# Each place of a window adds to the compilation's time.
MAX_TAPS = 32


def window_max(
    x: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: Pairs,
) -> Array:
    """The maximum of each window of (batch, *space, channels); padding never wins.

    Of equal ones the first has the gradient, and NaN wins over every number.
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
    return _first_largest(_taps(x, -jnp.inf, window, strides, dilation, padding))[0]


@_spelled_out.defjvp
def _derivative(window, strides, dilation, padding, primals, tangents):
    (x,), (dx,) = primals, tangents
    geometry = (window, strides, dilation, padding)
    y, place = _first_largest(_taps(x, -jnp.inf, *geometry))
    dy = jnp.zeros_like(y)
    for i, tap in enumerate(_taps(dx, 0, *geometry)):
        dy += jnp.where(place == i, tap, 0)
    return y, dy


def _first_largest(places: Sequence[Array]) -> tuple[Array, Array]:
    """The largest of arrays, and the number of the first one that has it."""
    y, *rest = places
    place = jnp.zeros(y.shape, jnp.int8)
    for i, tap in enumerate(rest, start=1):
        better = (tap > y) | ((tap != tap) & (y == y))
        y = jnp.where(better, tap, y)
        place = jnp.where(better, jnp.int8(i), place)
    return y, place


def _taps(x, fill, window, strides, dilation, padding):
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    return taps(x, window, strides, dilation)


def _least(dtype):
    """What no value of this dtype is below."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return -np.inf
    return int(jnp.iinfo(dtype).min)
