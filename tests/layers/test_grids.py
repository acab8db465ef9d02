"""Pooling to grids against NumPy, cell by cell."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import AdaptiveAvgPool, AdaptiveMaxPool, SpatialPyramidPool


def apply(module, x):
    # One compilation rather than one for each operation.
    run = jax.jit(lambda x: module.apply({}, x))
    return np.array(run(jnp.asarray(x, jnp.float32)))


@st.composite
def grids(draw):
    rank = draw(st.integers(1, 3))
    return [tuple(draw(st.integers(1, 6)) for _ in range(rank)) for _ in range(2)]


def adaptive_reference(x, sizes, g):
    """Values and gradients of both kinds, cell by cell."""
    mean, peak = (np.zeros((len(x), *sizes, x.shape[-1])) for _ in range(2))
    mean_gradient, peak_gradient = np.zeros_like(x), np.zeros_like(x)
    axes = tuple(range(1, x.ndim - 1))
    for cell in np.ndindex(*sizes):
        space = tuple(
            slice(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m)))
            for i, n, m in zip(cell, x.shape[1:], sizes, strict=False)
        )
        region, at = (slice(None), *space), (slice(None), *cell)
        values = x[region]
        mean[at], peak[at] = values.mean(axes), values.max(axes)
        share = np.expand_dims(g[at], axes)
        mean_gradient[region] += share / values[0, ..., 0].size
        peak_gradient[region] += share * (values == values.max(axes, keepdims=True))
    return {"mean": (mean, mean_gradient), "peak": (peak, peak_gradient)}


@settings(max_examples=10, deadline=None)
@given(grids(), st.integers(0, 2**16))
def test_adaptive_pooling_matches_numpy(grid, seed):
    space, sizes = grid
    rng = np.random.default_rng(seed)
    x, g = (rng.standard_normal((2, *shape, 2)) for shape in (space, sizes))

    @jax.jit
    def run(x, g):
        results = {}
        for kind, pool in (("mean", AdaptiveAvgPool), ("peak", AdaptiveMaxPool)):
            y, back = jax.vjp(lambda x, pool=pool: pool(sizes).apply({}, x), x)
            results[kind] = y, back(g)[0]
        return results

    results = run(jnp.asarray(x, jnp.float32), jnp.asarray(g, jnp.float32))
    for kind, expected in adaptive_reference(x, sizes, g).items():
        for array, wanted in zip(results[kind], expected, strict=True):
            np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "space",
    [
        (5, 9),
        (1, 2),
        *(pytest.param(s, marks=pytest.mark.full) for s in [(7,), (4, 4), (3, 4, 5)]),
    ],
)
def test_pyramid_is_as_long_whatever_the_size(space):
    x = np.random.default_rng(0).standard_normal((2, *space, 3))
    y = apply(SpatialPyramidPool((3, 1)), x)
    rank = len(space)
    cells = 3 * 3**rank
    assert y.shape == (2, cells + 3)
    grid = apply(AdaptiveMaxPool(3), x)
    np.testing.assert_array_equal(y[:, :cells], grid.reshape(2, -1))
    top = x.max(tuple(range(1, rank + 1)))
    np.testing.assert_allclose(y[:, cells:], top, rtol=1e-6)


def test_the_levels_of_he_et_al_2014():
    """4x4, 2x2 and 1x1 cells: 21 a channel."""
    x = jax.ShapeDtypeStruct((1, 13, 9, 256), jnp.float32)
    y = jax.eval_shape(lambda x: SpatialPyramidPool().apply({}, x), x)
    assert y.shape == (1, 21 * 256)


@pytest.mark.parametrize("pool", [AdaptiveAvgPool, AdaptiveMaxPool])
def test_a_grid_of_the_maps_own_size_changes_nothing(pool):
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(apply(pool((4, 3)), x), x)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (SpatialPyramidPool(()), "a pyramid needs at least one"),
        (
            SpatialPyramidPool((2, 0)),
            "output_size=0: each number must be an integer of at least 1",
        ),
        (AdaptiveAvgPool(0), "output_size=0"),
        (AdaptiveMaxPool((2, -1)), r"output_size=\(2, -1\)"),
        (AdaptiveMaxPool((2, 2, 2)), "has 3 entries where 2 are needed"),
    ],
)
def test_grids_that_cannot_be(layer, words):
    """The layer is named as it is in its network."""

    class Net(nn.Module):
        def setup(self):
            self.grid = layer.clone()

        def __call__(self, x):
            return self.grid(x)

    with pytest.raises(UserError, match=f"^grid: .*{words}"):
        apply(Net(), np.zeros((1, 4, 4, 1)))
