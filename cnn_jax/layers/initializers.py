"""Initial values of kernels.

These initializers resemble `jax.nn.initializers`, but compile much faster: on a CPU,
XLA takes about half a second for every new shape of random numbers, so GoogLeNet, with
57 shapes, would wait half a minute. Here random numbers are drawn in blocks whose size
is a power of two.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

# A function `(key, shape, dtype=jnp.float32)` that returns the values, without the
# sharding argument of `jax.nn.initializers.Initializer`.
Init = Callable[..., Array]

# In larger blocks, the unused numbers would cost more than the compilation.
LARGEST_BLOCK = 2**22
SMALLEST_BLOCK = 2**10

_DRAWS: dict[str, Callable[..., Array]] = {
    # All have a variance of one.
    "normal": jax.random.normal,
    "uniform": lambda key, shape: jax.random.uniform(
        key, shape, minval=-math.sqrt(3), maxval=math.sqrt(3)
    ),
    # Truncated at two standard deviations, which leaves a deviation of 0.8796...
    "truncated_normal": lambda key, shape: (
        jax.random.truncated_normal(key, -2, 2, shape) / 0.87962566103423978
    ),
}


def draw(distribution: str, key: Array, shape: Sequence[int]) -> Array:
    """Returns float32 random numbers of mean zero and variance one.

    Args:
      distribution: "normal", "uniform" or "truncated_normal".
    """
    size = math.prod(shape)
    if not 0 < size <= LARGEST_BLOCK:
        return _DRAWS[distribution](key, tuple(shape))
    block = max(1 << (size - 1).bit_length(), SMALLEST_BLOCK)
    return _DRAWS[distribution](key, (block,))[:size].reshape(shape)


def variance_scaling(scale: float, mode: str, distribution: str) -> Init:
    """Returns an initializer with mean zero and variance scale / fan.

    The last two dimensions of a kernel are its input and output channels; the
    dimensions before them are its window, which counts in both fans (Glorot and Bengio
    2010; He et al. 2015).

    Args:
      mode: the fan that divides the scale: "fan_in" counts the inputs of an output
        value, "fan_out" the outputs that an input value contributes to.
      distribution: see `draw`.
    """

    def init(key: Any, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
        channels = {"fan_in": shape[-2], "fan_out": shape[-1]}[mode]
        fan = max(math.prod(shape[:-2]) * channels, 1)
        values = draw(distribution, key, shape) * math.sqrt(scale / fan)
        return values.astype(dtype)

    return init


def normal(stddev: float) -> Init:
    """Returns an initializer from a normal distribution of mean zero."""

    def init(key: Any, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
        return (draw("normal", key, shape) * stddev).astype(dtype)

    return init


def identity_first(init: Init) -> Init:
    """Returns an initializer whose first filters copy the channels of their input.

    If a kernel has more filters than input channels, `init` draws the other filters.
    The first filters are those of PyTorch's `dirac_` (Zagoruyko and Komodakis 2017).

    Args:
      init: the initializer of the other filters.
    """

    def with_identity(
        key: Any, shape: Sequence[int], dtype: DTypeLike = jnp.float32
    ) -> Array:
        *window, channels, features = shape
        center = tuple(size // 2 for size in window)
        first = jnp.zeros((*window, channels, channels), dtype)
        first = first.at[center].set(jnp.eye(channels, dtype=dtype))
        values = init(key, shape, dtype)
        return jnp.concatenate([first, values[..., channels:]], -1)[..., :features]

    return with_identity


def lecun_normal() -> Init:
    """Returns an initializer with variance 1 / fan_in (LeCun et al. 1998).

    The distribution is normal, truncated at two standard deviations.
    """
    return variance_scaling(1.0, "fan_in", "truncated_normal")
