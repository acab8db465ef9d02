"""Boxes of an image, resized to its size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.augmentations.resampling import nearest, resampled

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
take = jax.jit(nearest, static_argnames="outside")
resample = jax.jit(resampled, static_argnames=("cubic", "outside", "cut"))


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("box", [(0, 0, 12, 17), (3, 2, 5, 15), (2, 7, 10, 1)])
def test_crops_are_resized_as_by_pillow(box, cubic):
    top, left, height, width = box
    kind = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    cropped = Image.fromarray(IMAGE[top : top + height, left : left + width])
    expected = np.asarray(cropped.resize((17, 12), kind), int)
    found = resample(IMAGE, np.float32(box), cubic=cubic)
    assert found.dtype == np.uint8
    assert np.abs(np.asarray(found, int) - expected).max() <= 1


def test_smaller_pictures_do_not_alias():
    """A picture of half the size, in the middle of black."""
    small = Image.fromarray(IMAGE[:, :16]).resize((8, 6), Image.Resampling.BILINEAR)
    box = np.float32([-6, -8, 24, 32])
    found = resample(IMAGE[:, :16], box, outside=9, cut=False)
    off = np.asarray(found[3:9, 4:12], int) - np.asarray(small, int)
    assert np.abs(off).max() <= 1
    assert (found[:3] == 9).all() and (found[:, 12:] == 9).all()


def test_the_nearest_pixels_are_pillows():
    cropped = Image.fromarray(IMAGE[3:8, 2:15])
    expected = cropped.resize((17, 12), Image.Resampling.NEAREST)
    clip = jnp.stack([IMAGE[::-1], IMAGE])
    found = take(clip, np.float32([3, 2, 5, 13]))
    np.testing.assert_array_equal(found[1], expected)
    found = take(IMAGE, np.float32([-6, 0, 12, 17]), outside=255)
    assert (found[:6] == 255).all()
    np.testing.assert_array_equal(found[6:], IMAGE[:6])


def test_frames_are_resized_alike():
    clip, box = np.stack([IMAGE, IMAGE[::-1]]), np.float32([3, 2, 5, 15])
    found = resample(clip, box, cubic=True)
    for frame, image in zip(found, clip, strict=True):
        np.testing.assert_array_equal(frame, resample(image, box, cubic=True))
