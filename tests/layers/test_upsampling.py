"""Sub-pixel and bicubic upsampling: PyTorch's values, formulas, and MATLAB's rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.data import bicubic

small = st.integers(1, 4)


def test_pytorchs_values():
    """torch.nn.PixelShuffle(2)(torch.arange(16.0).reshape(1, 8, 1, 2))."""
    x = jnp.arange(16.0).reshape(1, 8, 1, 2).transpose(0, 2, 3, 1)
    found = layers.pixel_shuffle(x, 2)[0].transpose(2, 0, 1)
    assert found.tolist() == [
        [[0, 2, 1, 3], [4, 6, 5, 7]],
        [[8, 10, 9, 11], [12, 14, 13, 15]],
    ]


@settings(max_examples=15, deadline=None)
@given(height=small, width=small, channels=small, scale=small)
def test_the_formula_of_the_paper(height, width, channels, scale):
    """Shi et al. 2016, equation 4, with PyTorch's order of the channels."""
    x = np.arange(2 * height * width * channels * scale**2, dtype=np.float32)
    x = x.reshape(2, height, width, -1)
    found = np.asarray(layers.pixel_shuffle(jnp.asarray(x), scale))
    assert found.shape == (2, height * scale, width * scale, channels)
    for n, row, column, c in np.ndindex(found.shape):
        phase = scale * (row % scale) + column % scale
        expected = x[n, row // scale, column // scale, c * scale**2 + phase]
        assert found[n, row, column, c] == expected


def test_the_module_is_the_function():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 8), jnp.bfloat16)
    module = layers.PixelShuffle(2)
    assert module.init(jax.random.key(0), x) == {}
    found = module.apply({}, x)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, layers.pixel_shuffle(x, 2))


@settings(max_examples=15, deadline=None)
@given(height=small, width=small, channels=st.integers(1, 3), scale=small)
def test_bicubic_is_matlabs(height, width, channels, scale):
    x = np.random.default_rng(0).random((2, height, width, channels), np.float32)
    found = layers.upsample_bicubic(jnp.asarray(x), scale)
    assert found.dtype == jnp.float32
    for image, ours in zip(x, found, strict=True):
        np.testing.assert_allclose(ours, bicubic.resize(image, scale), atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "message"),
    [(2, "scale=2 .* input channels, 6"), (0, "scale=0 must be at least 1")],
)
def test_impossible_shuffles(scale, message):
    with pytest.raises(UserError, match=f"^PixelShuffle: .*{message}"):
        layers.pixel_shuffle(jnp.zeros((1, 2, 2, 6)), scale)


def test_impossible_scale():
    with pytest.raises(UserError, match="scale=0 must be at least 1"):
        layers.upsample_bicubic(jnp.zeros((1, 2, 2, 1)), 0)
