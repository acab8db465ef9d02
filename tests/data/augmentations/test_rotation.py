"""A rotation about the middle of the image."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnn_jax.data.augment import Augment
from cnn_jax.data.augmentations.rotation import Rotation
from cnn_jax.data.augmentations.warp import affine, warped
from cnn_jax.data.labels.pixels import IGNORED

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)


@partial(jax.jit, static_argnames=("outside", "nearest"))
def rotate(image, angle, *, outside=0, nearest=False):
    """The image, rotated clockwise."""
    matrix = affine(image.shape[-3:-1], angle=angle)
    return warped(image, matrix, outside=outside, nearest=nearest)


@pytest.mark.parametrize("angle", [-180.0, -31.0, 0.0, 45.0, 90.0, 172.5])
@pytest.mark.parametrize(("order", "outside"), [(1, 0), (0, IGNORED)])
def test_images_are_those_of_scipy(angle, order, outside):
    found = rotate(jnp.asarray(IMAGE), angle, outside=outside, nearest=order == 0)
    assert found.dtype == np.uint8
    turned = partial(
        ndimage.rotate, angle=-angle, axes=(1, 0), reshape=False, order=order
    )
    # The pixels at the edges of the image are repeated up to half a pixel.
    expected = turned(IMAGE.astype(float), mode="nearest")
    inside = turned(np.ones_like(IMAGE, float), mode="grid-constant", order=0) > 0
    expected = np.where(inside, expected, outside)
    off = np.abs(np.asarray(found, float) - expected)
    if order:
        # Beside half a pixel outside of the image, where rounding decides.
        assert (off > 0.51).mean() < 0.02
    else:  # beside pixels between which rounding decides
        assert (off > 0).mean() < 0.03


def test_no_angle_leaves_an_image_alone():
    np.testing.assert_array_equal(rotate(jnp.asarray(IMAGE), 0.0), IMAGE)


def test_frames_are_rotated_alike():
    clip = np.stack([IMAGE, IMAGE[::-1]])
    found = rotate(jnp.asarray(clip), 20.0)
    for frame, image in zip(found, clip, strict=True):
        np.testing.assert_array_equal(frame, rotate(jnp.asarray(image), 20.0))


def batch_of(images, labels):
    numbers = np.arange(len(images), dtype=np.int32)
    return {"image": images, "label": labels, "index": numbers, "epoch": numbers}


def rotated_batch(kind, images, labels, rotation=40.0):
    augment = Augment(kind, (Rotation(degrees=rotation),))
    found = jax.jit(augment.__call__)(jax.random.key(1), batch_of(images, labels))
    return np.asarray(found["image"]), np.asarray(found["label"])


def test_angles_are_uniform_to_both_sides():
    keys = jax.random.split(jax.random.key(0), 2000)
    angles = np.asarray(jax.vmap(Rotation(degrees=30.0).angle)(keys))
    assert np.abs(angles).max() <= 30 and abs(angles.mean()) < 1.5
    assert angles.std() == pytest.approx(30 / 3**0.5, rel=0.05)


def test_labels_of_pixels_turn_with_the_image():
    image = np.zeros((24, 24, 1), np.uint8)
    image[6:18, 9:15] = 200
    images = np.stack([image] * 16)
    found, labels = rotated_batch("pixels", images, (images[..., 0] > 0).astype("u1"))
    assert set(np.unique(labels)) == {0, 1, IGNORED}
    inside = labels != IGNORED
    # Along the edges, bilinear values lie between those of the two classes.
    assert ((found[..., 0] > 100) == (labels == 1))[inside].mean() > 0.97
    assert not found[..., 0][~inside].any()
    assert len(np.unique(found.reshape(16, -1), axis=0)) > 12


def test_boxes_are_around_the_turned_corners():
    image = np.zeros((64, 80, 1), np.uint8)
    image[20:40, 30:60] = 255
    images = np.stack([image] * 16)
    box = np.array([[2, 20, 30, 40, 60], [-1, 0, 0, 0, 0]], np.float32)
    found, labels = rotated_batch("boxes", images, np.stack([box] * 16))
    assert (labels[:, 0, 0] == 2).all() and (labels[:, 1, 0] == -1).all()
    for turned, (_, top, left, bottom, right) in zip(found, labels[:, 0], strict=True):
        rows, columns = np.nonzero(turned[..., 0] > 64)
        seen = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        assert np.abs(np.array(seen) - [top, left, bottom, right]).max() <= 1.5


def test_a_quarter_turn_of_a_box_is_exact():
    box = jnp.array([[1.0, 2.0], [3.0, 7.0]])

    class Quarter(Rotation):
        def angle(self, key):
            return jnp.float32(90)

    turned = Quarter(degrees=90.0).points(jax.random.key(0), box, size=(10, 10))
    image = np.zeros((10, 10, 1), np.uint8)
    image[1:3, 2:7] = 255
    rows, columns = np.nonzero(rotate(jnp.asarray(image), 90.0)[..., 0])
    found = np.sort(np.asarray(turned), axis=0).ravel()
    expected = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pictures_that_are_larger_turn_alike():
    small = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1), np.uint8)
    smooth = ndimage.zoom(small, (1, 4, 4, 1), order=1)
    large = smooth.repeat(2, 1).repeat(2, 2)
    found, labels = rotated_batch("picture", smooth, large)
    averaged = labels.reshape(4, 32, 2, 32, 2, 1).astype(float).mean((2, 4))
    assert np.abs(averaged - found)[:, 8:-8, 8:-8].mean() < 6
