"""Initial values of kernels.

As `jax.nn.initializers`, but compiled in a fraction of the time: XLA takes about half a
second on a CPU for every new shape of random numbers, so that GoogLeNet, with 57
shapes, would wait half a minute. Here numbers are drawn by the power of two.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

# `(key, shape, dtype=jnp.float32)` to the values. Without the sharding of the output
# that `jax.nn.initializers.Initializer` takes too.
Init = Callable[..., Array]

# Above, what would be drawn in vain is worth more than the time to compile.
LARGEST_BLOCK = 2**22
SMALLEST_BLOCK = 2**10

_DRAWS: dict[str, Callable[..., Array]] = {
    # Variance one each.
    "normal": jax.random.normal,
    "uniform": lambda key, shape: jax.random.uniform(
        key, shape, minval=-math.sqrt(3), maxval=math.sqrt(3)
    ),
    # Cut off at two standard deviations; 0.8796... is what is left of one.
    "truncated_normal": lambda key, shape: (
        jax.random.truncated_normal(key, -2, 2, shape) / 0.87962566103423978
    ),
}


def draw(distribution: str, key: Array, shape: Sequence[int]) -> Array:
    """float32 numbers of mean zero and variance one.

    Args:
      distribution: "normal", "uniform" or "truncated_normal".
    """
    size = math.prod(shape)
    if not 0 < size <= LARGEST_BLOCK:
        return _DRAWS[distribution](key, tuple(shape))
    block = max(1 << (size - 1).bit_length(), SMALLEST_BLOCK)
    return _DRAWS[distribution](key, (block,))[:size].reshape(shape)


def variance_scaling(scale: float, mode: str, distribution: str) -> Init:
    """Numbers of mean zero and variance scale / fan.

    The last two dimensions of a kernel are its input and output channels, and those
    before them its window, which counts in both fans (Glorot and Bengio 2010; He et al.
    2015).

    Args:
      mode: "fan_in" or "fan_out".
      distribution: see `draw`.
    """

    def init(key: Any, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
        channels = {"fan_in": shape[-2], "fan_out": shape[-1]}[mode]
        fan = max(math.prod(shape[:-2]) * channels, 1)
        values = draw(distribution, key, shape) * math.sqrt(scale / fan)
        return values.astype(dtype)

    return init


def normal(stddev: float) -> Init:
    """Numbers from a normal distribution of mean zero."""

    def init(key: Any, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
        return (draw("normal", key, shape) * stddev).astype(dtype)

    return init


def lecun_normal() -> Init:
    """Variance 1 / fan_in, cut off at two standard deviations (LeCun et al. 1998)."""
    return variance_scaling(1.0, "fan_in", "truncated_normal")
