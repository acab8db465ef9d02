"""Pooling to grids of a given number of cells, whatever the size of the maps."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Real

from cnn_jax.core.errors import UserError
from cnn_jax.layers import formulas
from cnn_jax.layers.described import Described, Shape
from cnn_jax.layers.naming import named, where
from cnn_jax.layers.pooling import flatten, inexact_dtype
from cnn_jax.layers.windows import Size, per_dimension

Maps = Real[Array, "batch *space channels"]
Out = Real[Array, "batch *out channels"]


def adaptive_avg_pool(x: Maps, output_size: Size) -> Out:
    """Returns the mean of each cell of a grid over the maps.

    The grid has `output_size` cells along each dimension, for maps of any size.

    Along a dimension of n values, cell i of m covers the values from floor(i n / m) to
    ceil((i + 1) n / m), as in PyTorch. Neighboring cells overlap if m does not divide
    n. Means are accumulated in float32.

    Raises:
      UserError: an output size is below 1.
    """
    means = _adaptive(x.astype(jnp.float32), output_size, jnp.mean)
    return means.astype(inexact_dtype(x))


def adaptive_max_pool(x: Maps, output_size: Size) -> Out:
    """Returns the largest value in each cell of `adaptive_avg_pool`'s grid."""
    return _adaptive(x, output_size, jnp.max)


def spatial_pyramid_pool(
    x: Maps, levels: Sequence[int] = (4, 2, 1)
) -> Real[Array, "batch features"]:
    """Returns the maxima over grids of several sizes, as one vector.

    Each level n is an `adaptive_max_pool` to n cells along each dimension. The vector
    has channels * sum(n ** dimensions) entries for maps of any size (He et al. 2014,
    "Spatial Pyramid Pooling in Deep Convolutional Networks").

    Raises:
      UserError: there is no level, or a level is below 1.
    """
    if not levels:
        raise UserError("levels=(): a pyramid needs at least one level.")
    return jnp.concatenate([flatten(adaptive_max_pool(x, n)) for n in levels], axis=-1)


class _AdaptivePool(Described, nn.Module):
    """The base class of adaptive poolings, with their attribute and explanation."""

    kind: ClassVar[str]

    output_size: Size

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, after = formulas.by(in_shape[:-1]), formulas.by(out_shape[:-1])
        return f"Adaptive {self.kind} Pooling", f"{before} values to {after} cells"


class AdaptiveAvgPool(_AdaptivePool):
    """`adaptive_avg_pool` as a module."""

    kind = "Average"

    def __call__(self, x: Maps) -> Out:
        with named(where(self)):
            return adaptive_avg_pool(x, self.output_size)


class AdaptiveMaxPool(_AdaptivePool):
    """`adaptive_max_pool` as a module."""

    kind = "Max"

    def __call__(self, x: Maps) -> Out:
        with named(where(self)):
            return adaptive_max_pool(x, self.output_size)


class SpatialPyramidPool(Described, nn.Module):
    """`spatial_pyramid_pool` as a module."""

    levels: Sequence[int] = (4, 2, 1)

    def __call__(self, x: Maps) -> Real[Array, "batch features"]:
        with named(where(self)):
            return spatial_pyramid_pool(x, self.levels)

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        rank = len(in_shape) - 1
        grids = [formulas.by([level] * rank) for level in self.levels]
        cells = " + ".join(grid.replace("x", "*") for grid in grids)
        return (
            "Spatial Pyramid Pooling",
            f"maximum over grids of {', '.join(grids)} cells; "
            f"({cells})*{in_shape[-1]} = {out_shape[-1]:,}",
        )


def _adaptive(x, output_size, operation):
    """Reduces each cell of a grid over the maps by `operation`, such as `jnp.mean`."""
    sizes = per_dimension(output_size, x.ndim - 2, "output_size", least=1)
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
