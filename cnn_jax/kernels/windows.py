"""The values under a window at every position."""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Real

# Zeros (before, after) along each dimension.
Pairs = tuple[tuple[int, int], ...]


def taps(
    x: Real[Array, "batch *space channels"],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> list[Real[Array, "batch *out channels"]]:
    """Returns the values under each tap, for every position of the window.

    The taps of the window are in row-major order. `x` is already padded. The values of
    a tap are one slice of the whole input, so the gradient is cheap.
    """
    found = []
    for places in itertools.product(*(range(f) for f in window)):
        slices = []
        for n, i, f, s, d in zip(
            x.shape[1:-1], places, window, strides, dilation, strict=True
        ):
            last = i * d + (n - d * (f - 1) - 1) // s * s
            slices.append(slice(i * d, last + 1, s))
        found.append(x[:, *slices])
    return found


def reduce_windows(
    x: Array,
    start: float | int,
    operation: Callable[[Array, Array], Array],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    pairs: Pairs,
) -> Array:
    """Reduces each window of (batch, *space, channels) to one value by `operation`.

    Args:
      start: the neutral value of `operation`, with which the maps are also padded.
      pairs: the padding (before, after) of each spatial dimension.
    """
    if all(d == 1 for d in dilation):
        return lax.reduce_window(
            x,
            # A NumPy constant, from which JAX knows the operation and its gradient.
            np.asarray(start, x.dtype),
            operation,
            (1, *window, 1),
            (1, *strides, 1),
            ((0, 0), *pairs, (0, 0)),
        )
    # XLA has no gradient for the maximum of dilated windows, so this takes one slice
    # for each tap of the window.
    x = jnp.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=start)
    return functools.reduce(operation, taps(x, window, strides, dilation))
