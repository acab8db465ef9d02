"""Blends of images, as in Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from cnn_jax.data.augmentations.blending import blended, luma, smoothed

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
blend = jax.jit(blended)


@settings(max_examples=40)
@given(st.floats(-1, 3, width=32))
def test_blends_are_pillows(factor):
    first, second = IMAGES
    expected = Image.blend(*map(Image.fromarray, IMAGES), factor)
    found = blend(first.astype(np.int32), second.astype(np.int32), factor)
    off = np.abs(np.asarray(found) - np.asarray(expected, int))
    # A sum may lie on the other side of a whole number.
    assert off.max() <= 1 and off.mean() < 0.2


def test_a_factor_of_one_is_the_second_image():
    first, second = IMAGES.astype(np.int32)
    np.testing.assert_array_equal(blend(first, second, 1.0), second)


def test_luma_is_pillows():
    expected = np.asarray(Image.fromarray(IMAGES[0]).convert("L"))
    np.testing.assert_array_equal(luma(jnp.asarray(IMAGES[0]))[..., 0], expected)
    four = jnp.asarray(IMAGES[0].reshape(9, 21)[:, :20].reshape(9, 5, 4))
    np.testing.assert_array_equal(luma(four), four)


@pytest.mark.parametrize("size", [(9, 7), (3, 3), (2, 7)])
def test_smoothing_is_pillows(size):
    image = IMAGES[0, : size[0], : size[1]]
    expected = np.asarray(Image.fromarray(image).filter(ImageFilter.SMOOTH))
    clip = jnp.stack([image[::-1], image])
    np.testing.assert_array_equal(smoothed(clip)[1], expected)
