"""Random sharpness and blur."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from cnn_jax.data.augmentations.filtering import Blur, Sharpness, gaussian

IMAGE = np.random.default_rng(0).integers(0, 256, (14, 11, 3), np.uint8)
weights = jax.jit(gaussian, static_argnums=(0, 2))
KEYS = jax.random.split(jax.random.key(0), 40)


def test_sharpness_is_pillows():
    step = Sharpness(factor=1.7, probability=0.5)
    found = np.asarray(jax.jit(jax.vmap(step.image, (0, None)))(KEYS, IMAGE), int)
    changed = (found != IMAGE).any((1, 2, 3))
    assert 0.25 < changed.mean() < 0.75
    expected = ImageEnhance.Sharpness(Image.fromarray(IMAGE)).enhance(1.7)
    assert np.abs(found[changed] - np.asarray(expected, int)).max() <= 1


@pytest.mark.parametrize(("sigma", "radius"), [(0.1, 6), (1.3, 4), (2.0, 6), (9.0, 10)])
def test_weights_are_scipys(sigma, radius):
    expected = ndimage.gaussian_filter1d(
        np.eye(11), sigma, 0, radius=radius, mode="mirror"
    )
    np.testing.assert_allclose(weights(11, sigma, radius), expected, atol=1e-5)


def test_a_kernel_is_at_most_as_wide_as_the_image():
    np.testing.assert_array_equal(weights(3, 9.0, 30), weights(3, 9.0, 2))


def test_blurs():
    step = Blur(sigma=(1.5, 1.5), probability=0.5)
    clip = np.stack([IMAGE, IMAGE[::-1]])
    found = np.asarray(jax.jit(jax.vmap(step.image, (0, None)))(KEYS, clip), float)
    changed = (found != clip).any((1, 2, 3, 4))
    assert 0.25 < changed.mean() < 0.75
    expected = ndimage.gaussian_filter(
        IMAGE.astype(float), 1.5, radius=5, axes=(0, 1), mode="mirror"
    )
    assert np.abs(found[changed][:, 0] - expected).max() <= 0.51
    np.testing.assert_array_equal(found[changed][:, 1], found[changed][:, 0, ::-1])
