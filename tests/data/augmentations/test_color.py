"""Random colors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from cnn_jax.data.augmentations.color import ColorJitter, Grayscale, hsv, rgb, turned

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
# Gray, black and pure colors.
IMAGE[0, :8] = [
    [9, 9, 9],
    [0, 0, 0],
    [255, 255, 255],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [255, 0, 255],
]
KEYS = jax.random.split(jax.random.key(0), 40)


def test_gray_images_are_pillows():
    step = Grayscale(probability=0.5)
    found = np.asarray(jax.jit(jax.vmap(step.image, (0, None)))(KEYS, IMAGE))
    changed = (found != IMAGE).any((1, 2, 3))
    assert 0.25 < changed.mean() < 0.75
    expected = Image.fromarray(IMAGE).convert("L").convert("RGB")
    for image in found[changed]:
        np.testing.assert_array_equal(image, expected)


def test_hsv_is_pillows():
    expected = np.asarray(Image.fromarray(IMAGE).convert("HSV"), int)
    found = np.concatenate(jax.jit(hsv)(IMAGE), -1)
    off = np.abs(found - expected)
    assert not off[..., 1:].any()
    assert off[..., 0].max() <= 1 and off[..., 0].mean() < 0.02  # rounded apart
    np.testing.assert_array_equal(found[0, :8], expected[0, :8])


def test_rgb_is_pillows():
    expected = np.asarray(Image.fromarray(IMAGE, "HSV").convert("RGB"), int)
    found = jax.jit(rgb)(*np.split(IMAGE.astype(np.int32), 3, -1))
    off = np.abs(np.asarray(found, int) - expected)
    assert off.max() <= 1 and off.mean() < 0.01


turn = jax.jit(turned)


@pytest.mark.parametrize("by", [-0.5, -0.1, 0.0, 0.3])
def test_hues_are_torchvisions(by):
    """`adjust_hue` of its `_functional_pil`."""
    hue, *others = Image.fromarray(IMAGE).convert("HSV").split()
    steps = np.int32(by * 255).astype(np.uint8)
    hue = Image.fromarray(np.asarray(hue) + steps)
    expected = np.asarray(Image.merge("HSV", (hue, *others)).convert("RGB"), int)
    off = np.abs(np.asarray(turn(IMAGE, by), int) - expected)
    # A unit of the hue is 6 gray levels.
    assert off.max() <= 7 and off.mean() < 0.05


def test_jitter_is_pillows_in_order():
    step = ColorJitter(brightness=0.3, contrast=0.2, saturation=0.5, hue=0.0)
    jitter = jax.jit(step.image)
    for key in KEYS[:3]:
        draws = np.asarray(jax.random.uniform(key, (4,)))[:3]
        expected = Image.fromarray(IMAGE)
        for kind, draw, most in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color),
            draws,
            (0.3, 0.2, 0.5),
            strict=True,
        ):
            expected = kind(expected).enhance(float(1 - most + 2 * most * draw))
        off = np.abs(np.asarray(jitter(key, IMAGE), int) - np.asarray(expected, int))
        assert off.max() <= 3 and off.mean() < 0.2


@pytest.mark.parametrize("channels", [1, 4])
def test_other_images_have_no_color(channels):
    image = jnp.asarray(IMAGE.reshape(-1)[: 20 * channels].reshape(5, 4, channels))
    step = ColorJitter(brightness=0.0, contrast=0.0)
    np.testing.assert_array_equal(step.image(KEYS[0], image), image)
    gray = Grayscale(probability=1.0).image(KEYS[0], image)
    np.testing.assert_array_equal(gray, image)
