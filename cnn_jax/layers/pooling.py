"""Pooling and the way from maps to vectors: functions, and modules that apply them.

The modules hold no parameters. They exist so that pooling has a name in the layer
table and in captured intermediates.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layers.windows import Padding, Size, explicit_padding, per_dimension


def max_pool(
    x: Float[Array, "batch *space channels"],
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
) -> Float[Array, "batch *out channels"]:
    """The largest value of each window; padding never wins.

    `strides` None is the window itself, so that windows touch without overlap.

    Raises:
      UserError: the window does not fit the input.
      ValueError: padding as large as the window, which would leave one empty.
    """
    return nn.max_pool(x, *_geometry(x, window, strides, padding))


def avg_pool(
    x: Float[Array, "batch *space channels"],
    window: Size,
    strides: Size | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
) -> Float[Array, "batch *out channels"]:
    """The mean of each window, accumulated in float32.

    `count_include_pad` says whether padding zeros count in the mean, as in PyTorch
    and Caffe, or only the values of the input do, as in TensorFlow. `strides` and
    errors are those of `max_pool`.
    """
    y = nn.avg_pool(
        x.astype(jnp.float32),
        *_geometry(x, window, strides, padding),
        count_include_pad=count_include_pad,
    )
    return y.astype(x.dtype)


def global_avg_pool(
    x: Float[Array, "batch *space channels"],
) -> Float[Array, "batch channels"]:
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

    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *out channels"]:
        return max_pool(x, self.window, self.strides, self.padding)


class AvgPool(nn.Module):
    """`avg_pool` as a module; the attributes are its arguments."""

    window: Size
    strides: Size | None = None
    padding: Padding = 0
    count_include_pad: bool = True

    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *out channels"]:
        return avg_pool(
            x, self.window, self.strides, self.padding, self.count_include_pad
        )


class GlobalAvgPool(nn.Module):
    """`global_avg_pool` as a module."""

    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch channels"]:
        return global_avg_pool(x)


class Flatten(nn.Module):
    """`flatten` as a module."""

    def __call__(
        self, x: Float[Array, "batch *features"]
    ) -> Float[Array, "batch flat"]:
        return flatten(x)


def _geometry(x, window, strides, padding):
    """Window, strides and (before, after) padding along each dimension of `x`."""
    rank = x.ndim - 2
    window = per_dimension(window, rank)
    strides = window if strides is None else per_dimension(strides, rank)
    pairs = explicit_padding(
        padding, x.shape[1:-1], window, strides, (1,) * rank, "pooling"
    )
    if any(max(pair) >= size for pair, size in zip(pairs, window, strict=True)):
        raise ValueError(f"pooling window {window} is not larger than padding {pairs}")
    return window, strides, pairs
