"""Images in another light."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from cnn_jax.data.augmentations.light import relit

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 6, 5, 3), np.uint8)
factors = st.floats(0, 2)


@settings(max_examples=30, deadline=None)
@given(factors, factors, factors, st.integers(0, 63), st.booleans())
def test_light_is_pillows(brightness, contrast, saturation, row, gray):
    """To within what Pillow rounds after each of the three."""
    image = IMAGES[row, ..., :1] if gray else IMAGES[row]
    enhanced = Image.fromarray(image[..., 0] if gray else image)
    for kind, factor in (
        (ImageEnhance.Brightness, brightness),
        (ImageEnhance.Contrast, contrast),
        (ImageEnhance.Color, saturation),
    ):
        if kind is not ImageEnhance.Color or not gray:
            enhanced = kind(enhanced).enhance(factor)
    found = relit(jnp.asarray(image), brightness, contrast, saturation)
    assert found.dtype == np.uint8 and found.shape == image.shape
    expected = np.asarray(enhanced, int).reshape(image.shape)
    # A rounding before a factor of two counts twice, and once more where luma has it.
    assert np.abs(np.asarray(found, int) - expected).max() <= 10


def test_no_factor_leaves_an_image_alone():
    np.testing.assert_array_equal(
        relit(jnp.asarray(IMAGES[0]), 1.0, 1.0, 1.0), IMAGES[0]
    )
