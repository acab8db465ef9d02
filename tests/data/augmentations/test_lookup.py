"""Lookup tables of pixel values, beside those of Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from cnn_jax.data.augmentations import lookup
from cnn_jax.data.augmentations.lookup import LEVELS

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def applied(table, image=RAMP[..., None]):
    found = lookup.looked_up(jnp.asarray(image), jnp.asarray(table))
    assert found.dtype == np.uint8 and found.shape == image.shape
    return np.asarray(found)


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize(bits):
    expected = ImageOps.posterize(Image.fromarray(RAMP), bits)
    found = applied(lookup.posterized(LEVELS, bits))
    np.testing.assert_array_equal(found[..., 0], expected)


@pytest.mark.parametrize("threshold", [0.0, 77.0, 127.5, 255.0, 256.0])
def test_solarize(threshold):
    expected = ImageOps.solarize(Image.fromarray(RAMP), threshold)
    found = applied(lookup.solarized(LEVELS, threshold))
    np.testing.assert_array_equal(found[..., 0], expected)


def test_a_solarization_of_all_values_inverts():
    np.testing.assert_array_equal(lookup.solarized(LEVELS, 0.0), 255 - LEVELS)


brightened = jax.jit(lookup.brightened)
contrasted = jax.jit(
    lambda image, factor: lookup.contrasted(lookup.mean_luma(image), factor)
)


@settings(max_examples=30)
@given(st.floats(0, 2, width=32), st.integers(0, 2**16))
def test_brightness_and_contrast(factor, seed):
    shape = (6, 5, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    for kind, table in (
        (ImageEnhance.Brightness, brightened(factor)),
        (ImageEnhance.Contrast, contrasted(image, factor)),
    ):
        expected = np.asarray(kind(Image.fromarray(image)).enhance(factor), int)
        off = np.abs(applied(table, image) - expected)
        assert off.max() <= 1 and off.mean() < 0.05


images = st.builds(
    lambda seed, low, spread, side: np.clip(
        np.random.default_rng(seed).normal(low, spread, (9, side, 3)), 0, 255
    ).astype(np.uint8),
    st.integers(0, 2**16),
    st.integers(0, 255),
    st.integers(0, 200),
    st.just(70),
)
equalized, auto_contrasted = map(jax.jit, (lookup.equalized, lookup.auto_contrasted))


@settings(max_examples=40)
@given(images)
def test_equalize(image):
    expected = ImageOps.equalize(Image.fromarray(image))
    np.testing.assert_array_equal(applied(equalized(image), image), expected)


@settings(max_examples=40)
@given(images)
def test_auto_contrast(image):
    expected = np.asarray(ImageOps.autocontrast(Image.fromarray(image)), int)
    above = applied(auto_contrasted(image), image) - expected
    assert set(np.unique(above)) <= {0, 1}
    # Pillow has 254.99... for 255 * (1 / n) * n in some cases, of whole numbers alone.
    values = image.astype(int)
    low, high = values.min((0, 1)), values.max((0, 1))
    whole = 255 * (values - low) % np.maximum(high - low, 1) == 0
    assert whole[above == 1].all()


def test_one_value_stays():
    image = np.full((9, 70, 3), 9, np.uint8)
    for table in (equalized(image), auto_contrasted(image)):
        np.testing.assert_array_equal(table[:, 9], 9)


def test_a_clip_has_one_table():
    clip = np.stack([RAMP // 2, RAMP // 2 + 20])[..., None]
    table = auto_contrasted(clip)
    assert applied(table, clip).min() == 0 and applied(table, clip[:1]).max() < 255
