"""Affine resampling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.data.augmentations.warp import affine, enlarged, points_moved, warped

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
SIZE = IMAGE.shape[:2]
warp = jax.jit(warped, static_argnames=("outside", "nearest"))
make = jax.jit(lambda *given: affine(SIZE, **dict(zip(NAMES, given, strict=True))))
NAMES = ("angle", "shift", "scale", "shear")


def torchvisions(angle, shift, scale, shear):
    """Pillow's six numbers, by torchvision's `_get_inverse_affine_matrix`."""
    (height, width), (ty, tx) = SIZE, shift
    rotation, sy, sx = map(math.radians, (angle, *shear))
    a = math.cos(rotation - sy) / math.cos(sy)
    b = -a * math.tan(sx) - math.sin(rotation)
    c = math.sin(rotation - sy) / math.cos(sy)
    d = -c * math.tan(sx) + math.cos(rotation)
    a, b, c, d = (value / scale for value in (d, -b, -c, a))
    cx, cy = width / 2, height / 2
    x, y = -cx - tx, -cy - ty
    return (a, b, a * x + b * y + cx, c, d, c * x + d * y + cy)


CASES = [
    (0.0, (0.0, 0.0), 1.0, (0.0, 0.0)),
    (31.0, (0.0, 0.0), 1.0, (0.0, 0.0)),
    (0.0, (3.0, -2.0), 1.0, (0.0, 0.0)),
    (0.0, (0.0, 0.0), 1.6, (10.0, -25.0)),
    (-140.0, (1.0, 2.0), 0.7, (20.0, 8.0)),
]


@pytest.mark.parametrize("how", CASES)
@pytest.mark.parametrize("nearest", [True, False])
def test_images_are_pillows(how, nearest):
    resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    expected = Image.fromarray(IMAGE).transform(
        SIZE[::-1],
        Image.Transform.AFFINE,
        torchvisions(*how),
        resample,
        fillcolor=(7, 7, 7),
    )
    found = warp(IMAGE, make(*how), outside=7, nearest=nearest)
    assert found.dtype == np.uint8
    off = np.abs(np.asarray(found, int) - np.asarray(expected, int))
    # Pillow cuts fractions off, and has 16 bits of the places of nearest pixels.
    assert (off > (0 if nearest else 1)).any(-1).mean() < 0.02


def test_nothing_changes_without_a_map():
    np.testing.assert_array_equal(warp(IMAGE, make(*CASES[0])), IMAGE)


def test_quarter_turns_are_exact():
    square = IMAGE[:, :9]
    found = warp(square, np.array([[0, -1, 9], [1, 0, 0]], np.float32))
    np.testing.assert_array_equal(found, square[::-1].swapaxes(0, 1))


def test_all_frames_are_warped_alike():
    clip = np.stack([IMAGE, IMAGE[::-1]])
    found = warp(clip, make(*CASES[4]))
    for frame, image in zip(found, clip, strict=True):
        np.testing.assert_array_equal(frame, warp(image, make(*CASES[4])))


@settings(max_examples=30)
@given(
    st.floats(-180, 180, width=32),
    st.tuples(st.floats(-5, 5, width=32), st.floats(-5, 5, width=32)),
    st.floats(0.5, 2, width=32),
    st.tuples(st.floats(-40, 40, width=32), st.floats(-40, 40, width=32)),
)
def test_points_return_to_their_places(angle, shift, scale, shear):
    matrix = make(angle, shift, scale, shear)
    points = np.array([[0, 0], [4.5, 6.5], [9, 1]], np.float32)
    moved = np.asarray(points_moved(jnp.asarray(points), matrix))
    back = moved @ np.asarray(matrix)[:, :2].T + np.asarray(matrix)[:, 2]
    np.testing.assert_allclose(back, points, atol=1e-3)


def test_larger_pictures_move_alike():
    matrix = make(*CASES[2])
    large = IMAGE.repeat(3, 0).repeat(3, 1)
    found = warp(large, enlarged(matrix, 3), nearest=True)
    np.testing.assert_array_equal(found[1::3, 1::3], warp(IMAGE, matrix, nearest=True))
