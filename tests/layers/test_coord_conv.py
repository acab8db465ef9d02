"""CoordConv: coordinates as further channels of a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.layers import Conv, CoordConv
from cnn_jax.layers.coord_conv import coordinates


def test_coordinates():
    found = coordinates((3, 5), radius=True)
    rows, columns = np.linspace(-1, 1, 3), np.linspace(-1, 1, 5)
    assert found.shape == (3, 5, 3)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            expected = (row, column, np.hypot(row, column))
            np.testing.assert_allclose(found[i, j], expected, rtol=1e-6)
    np.testing.assert_array_equal(coordinates((3, 5)), found[..., :2])
    np.testing.assert_array_equal(coordinates((1, 2))[0], [[0, -1], [0, 1]])


@pytest.mark.parametrize(
    "space",
    [(6, 5), *(pytest.param(s, marks=pytest.mark.full) for s in [(7,), (4, 5, 3)])],
)
@pytest.mark.parametrize("radius", [False, True])
def test_it_is_the_convolution_of_input_and_coordinates(space, radius):
    attributes = {
        "features": 4,
        "kernel_size": (3,) * len(space),
        "strides": 2,
        "padding": 1,
    }
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *space, 3)), jnp.float32)
    layer = CoordConv(**attributes, radius=radius)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    places = np.broadcast_to(
        coordinates(space, radius=radius), (2, *space, len(space) + radius)
    )
    both = jnp.concatenate([x, places], -1)
    expected = Conv(**attributes).apply(variables, both)
    np.testing.assert_array_equal(y, expected)
    assert variables["params"]["kernel"].shape[-2] == 3 + len(space) + radius


def test_it_tells_places_apart():
    x = jnp.ones((1, 6, 6, 1))
    y = CoordConv(2, 1).init_with_output(jax.random.key(0), x)[0]
    assert len(np.unique(np.asarray(y).reshape(36, 2), axis=0)) == 36


def test_dtype():
    layer = CoordConv(2, 3, dtype=jnp.bfloat16)
    y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 6, 6, 1)))
    assert y.dtype == jnp.bfloat16
    assert variables["params"]["kernel"].dtype == jnp.float32


def test_cost_and_words():
    layer = CoordConv(6, 3, padding=1, radius=True)
    assert layer.macs((8, 7, 3), (8, 7, 6)) == 8 * 7 * 9 * (3 + 3) * 6
    assert layer.explain((8, 7, 3), (8, 7, 6)) == (
        "Coordinate Convolution (3x3)",
        "6 filters of 3x3, stride 1, padding 1; (3*3*6*6) + 6 = 330; "
        "(8 - 3 + 2*1)/1 + 1 = 8, (7 - 3 + 2*1)/1 + 1 = 7",
    )


def test_groups_divide_input_and_coordinates():
    x = jnp.ones((1, 6, 6, 2))
    variables = CoordConv(4, 3, groups=4).init(jax.random.key(0), x)
    assert variables["params"]["kernel"].shape == (3, 3, 1, 4)
    with pytest.raises(UserError, match=r"groups=2 must divide .* input channels, 5"):
        CoordConv(4, 3, groups=2, radius=True).init(jax.random.key(0), x)
