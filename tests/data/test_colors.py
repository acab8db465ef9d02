"""Luma and chroma against scikit-image and MATLAB's figures."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr, ycbcr2rgb

from cnn_jax.data import colors


def noise(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_luma_and_chroma_are_scikit_images(seed):
    image = noise(seed, (5, 4, 3))
    found, expected = colors.ycbcr(image), rgb2ycbcr(image).round()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(colors.luma(image), expected[..., 0])


def test_a_gray_image_is_its_own_luma():
    """In the whole range from 0 to 255, and not from 16 to 235."""
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(colors.luma(gray), gray[..., 0])


def test_colors_go_there_and_back():
    image = noise(0, (16, 16, 3))
    back = colors.rgb(colors.ycbcr(image))
    assert np.abs(back.astype(int) - image).max() <= 3
    # MATLAB's values of black, white, red, green and blue.
    given = [[0, 0, 0], [255] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    known = [
        [16, 128, 128],
        [235, 128, 128],
        [81, 90, 240],
        [145, 54, 34],
        [41, 240, 110],
    ]
    found = colors.ycbcr(np.array([given], np.uint8))
    assert found[0].tolist() == known


def test_colors_outside_of_the_range_are_cut_off():
    """No picture has them, but a network may make them."""
    made = noise(1, (8, 8, 3))
    found = colors.rgb(made)
    expected = (ycbcr2rgb(made.astype(float)).clip(0, 1) * 255).round()
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert colors.rgb(np.array([[[255, 255, 255]]], np.uint8)).max() == 255
    assert colors.rgb(np.array([[[0, 128, 128]]], np.uint8)).tolist() == [[[0, 0, 0]]]
