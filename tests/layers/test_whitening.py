"""The whitening convolution against NumPy's covariance of the patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from cnn_jax import layers

SHAPE = (6, 9, 8, 3)


@pytest.fixture(scope="module")
def images():
    """Smooth images whose channels are correlated."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((6, 12, 11, 3)) @ rng.standard_normal((3, 3))
    smooth = sliding_window_view(noise, (4, 4), (1, 2)).mean((-2, -1))
    return jnp.asarray(smooth, jnp.float32)


def rows(images):
    """The patches of 2x2 pixels as vectors, in the order of a kernel's weights."""
    windows = sliding_window_view(np.asarray(images, np.float64), (2, 2), (1, 2))
    return np.moveaxis(windows, 3, -1).reshape(-1, 12)


def test_outputs_are_uncorrelated_and_of_equal_variance(images):
    kernel = layers.whitening_kernel(images, (2, 2), epsilon=1e-9)
    outputs = rows(images) @ np.asarray(kernel, np.float64).reshape(12, 24)[:, :12]
    covariance = outputs.T @ outputs / len(outputs)
    np.testing.assert_allclose(covariance, np.eye(12), atol=2e-2)


def test_filters_are_scaled_eigenvectors_and_their_opposites(images):
    kernel = layers.whitening_kernel(images, (2, 2), epsilon=0.1)
    filters = np.asarray(kernel).reshape(12, 24)
    np.testing.assert_array_equal(filters[:, 12:], -filters[:, :12])
    patches = rows(images)
    values = np.linalg.eigvalsh(patches.T @ patches / len(patches))[::-1]
    lengths = np.linalg.norm(filters[:, :12], axis=0)
    np.testing.assert_allclose(lengths, 1 / np.sqrt(values + 0.1), rtol=1e-3)
    largest = np.abs(filters[:, :12]).argmax(0)
    assert np.all(filters[largest, np.arange(12)] > 0)


def test_the_layer_starts_with_the_filters_of_its_images(images):
    layer = layers.WhiteningConv(2, epsilon=0.1)
    variables = layer.init(jax.random.key(0), images)
    params = variables["params"]
    expected = layers.whitening_kernel(images, (2, 2), epsilon=0.1)
    np.testing.assert_allclose(params["kernel"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(params["bias"], np.zeros(24))
    conv = layers.Conv(24, 2, padding=0)
    np.testing.assert_allclose(
        layer.apply(variables, images), conv.apply(variables, images), rtol=1e-6
    )


def test_images_of_zeros_give_finite_filters():
    layer = layers.WhiteningConv(3)
    params = layer.init(jax.random.key(0), jnp.zeros((1, 5, 5, 1)))["params"]
    assert params["kernel"].shape == (3, 3, 1, 18)
    assert np.all(np.isfinite(params["kernel"]))
