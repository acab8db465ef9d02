"""Pictures for TensorBoard: their sizes, and that they show what they are of."""

import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.tasks import pictures


def noise(height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def places(count, columns, height, width):
    """The top left corner of each image in a grid of cells with a border."""
    for number in range(count):
        yield number // columns * (height + 2) + 1, number % columns * (width + 2) + 1


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 17),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([1, 3]),
)
def test_a_grid_shows_every_image_pixel_by_pixel(count, height, width, channels):
    images = [noise(height, width, channels, seed) for seed in range(count)]
    found = pictures.grid(images, cell=20)
    factor = max(20 // max(height, width), 1)
    columns = next(c for c in range(1, 9) if c * c >= count)
    rows = -(-count // columns)
    tall, wide = height * factor, width * factor
    assert found.shape == (rows * (tall + 2), columns * (wide + 2), 3)
    assert found.dtype == np.uint8
    expected = np.full_like(found, 255)
    for image, (top, left) in zip(
        images, places(count, columns, tall, wide), strict=True
    ):
        large = np.kron(image, np.ones((factor, factor, 1), np.uint8))
        expected[top : top + tall, left : left + wide] = large
    np.testing.assert_array_equal(found, expected)


def test_a_clip_is_a_strip_of_its_frames():
    clips = [np.stack([noise(4, 3, 1, 5 * i + t) for t in range(5)]) for i in range(3)]
    found = pictures.grid(clips, cell=8)
    # Twice as large, a pixel between the frames; a column, since they are wide.
    assert found.shape == (3 * (8 + 2), 5 * 6 + 4 + 2, 3) and found.dtype == np.uint8
    for clip, (top, left) in zip(clips, places(3, 1, 8, 34), strict=True):
        for t, frame in enumerate(clip):
            large = np.kron(np.broadcast_to(frame, (4, 3, 3)), np.ones((2, 2, 1)))
            start = left + 7 * t
            np.testing.assert_array_equal(
                found[top : top + 8, start : start + 6], large
            )


def test_of_a_long_clip_the_middles_of_equal_parts_are_shown():
    clip = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 1))
    found = pictures.grid([clip.astype(np.uint8)], cell=2)
    shown = found[1, 1:-1, 0][::3]
    assert shown.tolist() == [int(40 * (i + 0.5) / 16) for i in range(16)]


def test_the_colors_of_classes_are_pascal_vocs():
    """The colors of Pascal VOC's development kit: background, aeroplane, ..., void."""
    known = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    known += [(128, 0, 128), (0, 128, 128), (128, 128, 128), (64, 0, 0)]
    assert [tuple(row) for row in pictures.PALETTE[:9].tolist()] == known
    assert tuple(pictures.PALETTE[20].tolist()) == (0, 64, 128)
    assert tuple(pictures.PALETTE[255].tolist()) == (224, 224, 192)
    assert len({tuple(row) for row in pictures.PALETTE.tolist()}) == 256
    for dtype in (np.uint8, np.int32):
        found = pictures.colored(np.array([[0, 1], [255, 20]], dtype))
        np.testing.assert_array_equal(
            found, pictures.PALETTE[[0, 1, 255, 20]].reshape(2, 2, 3)
        )
    assert pictures.colored(np.array([[256]])).shape == (1, 1, 3)


@pytest.mark.parametrize(("width", "count"), [(30, 1), (200, 11), (90, 40)])
def test_a_legend_has_every_color(width, count):
    above = noise(20, width, 3)
    found = pictures.with_legend(above, [f"class {i}" for i in range(count)])
    np.testing.assert_array_equal(found[:20, :width], above)
    assert found.dtype == np.uint8 and found.shape[1] >= width
    below = {tuple(pixel) for pixel in found[20:].reshape(-1, 3).tolist()}
    assert {tuple(row) for row in pictures.PALETTE[:count].tolist()} <= below


def test_images_of_two_sizes():
    found = pictures.grid([noise(30, 10, 3), noise(10, 30, 1)], cell=1)
    assert found.shape == (32, 64, 3)
    np.testing.assert_array_equal(found[1:31, 1:11], noise(30, 10, 3))
    np.testing.assert_array_equal(found[1:11, 33:63], np.tile(noise(10, 30, 1), 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_labeled_grid_has_text_below_the_images(channels):
    images = [noise(8, 8, channels, seed) for seed in range(3)]
    found = pictures.labeled_grid(images, ["cat as dog 90%", "", "x" * 500], cell=64)
    assert found.dtype == np.uint8 and found.shape == (2 * (64 + 18 + 2), 2 * 66, 3)
    corners = places(3, 2, 64 + 18, 64)
    written = []
    for image, (top, left) in zip(images, corners, strict=True):
        large = np.kron(np.broadcast_to(image, (8, 8, 3)), np.ones((8, 8, 1), np.uint8))
        np.testing.assert_array_equal(found[top : top + 64, left : left + 64], large)
        below = found[top + 64 : top + 82, left : left + 64]
        written.append((below < 128).any())
    assert written == [True, False, True]
    # The border stays white: a long label is cut.
    assert (found[:, [0, 65, 66, 131]] == 255).all()


def test_a_label_for_each_image():
    with pytest.raises(ValueError):
        pictures.labeled_grid([noise(8, 8, 1)], ["one", "two"])


def test_pairs_are_side_by_side():
    images = [noise(8, 8, 1, seed) for seed in range(4)]
    found = pictures.compared(images, [(2, 0), (1, 3)], ["alike", "not"])
    assert found.dtype == np.uint8
    # Twelve times as large, a pixel between the two; and a column, as pairs are wide.
    for (top, left), pair in zip(
        places(2, 1, 96 + 50, 193), [(2, 0), (1, 3)], strict=True
    ):
        for number, index in enumerate(pair):
            large = np.kron(np.tile(images[index], 3), np.ones((16, 16, 1), np.uint8))
            start = left + number * 129
            np.testing.assert_array_equal(
                found[top : top + 128, start : start + 128], large
            )


def test_a_curve_rises_where_its_points_do():
    """Only the curve is blue; its pixels are converted back to rates (log axis)."""
    far = np.array([0, 0, 0.01, 0.1, 1])
    tar = np.array([0, 0.2, 0.4, 0.8, 1])
    found = pictures.roc_curve(far, tar, 1000).astype(int)
    assert found.shape == (500, 500, 3)
    rows, columns = np.nonzero(found[..., 2] - found[..., 0] > 100)
    left, right, top = columns.min(), columns.max(), rows.min()
    # Decades are equally far from each other, and heights in proportion.
    height = {
        decade: rows[np.abs(columns - (left + decade * (right - left) / 3)) <= 1].mean()
        for decade in (1, 2)
    }
    unit = (rows.max() - top) / 0.8  # below 0.2 it runs along the axis
    for decade, expected in ((1, 0.4), (2, 0.8)):
        assert top + unit * (1 - expected) == pytest.approx(height[decade], abs=8)


NAMES = ("cat", "dog", "bird")


def boxed(image, *rows, **options):
    return pictures.with_boxes(image, np.array(rows, np.float32), NAMES, **options)


def dark(found):
    """Pixels of the letters, but for their blurred borders."""
    return found.max(-1) < 60


def test_boxes_on_a_small_image():
    """Ten times enlarged; the box's outline, two pixels wide, is within its edges."""
    image = noise(48, 48, 1) // 4 + 64
    large = np.kron(np.broadcast_to(image, (48, 48, 3)), np.ones((10, 10, 1), np.uint8))
    np.testing.assert_array_equal(boxed(image, (-1, 0, 0, 0, 0)), large)
    found = boxed(image, (1, 10, 5, 30, 40), (-1, 0, 0, 0, 0))
    assert found.shape == (480, 480, 3) and found.dtype == np.uint8
    changed = (found != large).any(-1)
    for line in (
        found[100:102, 50:400],
        found[298:300, 50:400],
        found[100:300, 50:52],
        found[100:300, 398:400],
    ):
        assert (line == found[100, 50]).all()
    assert not changed[102:298, 52:398].any()  # what is inside stays visible
    assert not changed[300:].any() and not changed[:, 400:].any()
    # The name is above the box, in black on the class's color.
    assert not changed[:84].any() and changed[84:100, 50:70].all()
    assert dark(found)[84:100, 50:100].sum() > 20
    assert (found[84, 50] == found[100, 50]).all()


def test_boxes_on_a_photo():
    image = noise(480, 640, 3) // 2 + 64
    found = boxed(image, (0, 100, 100, 200, 300), (-4, 300, 10, 400, 90))
    assert found.shape == (480, 640, 3)
    changed = (found != image).any(-1)
    assert changed[100, 100:300].all() and changed[300, 10:90].all()
    assert 0.002 < changed.mean() < 0.02
    assert (image == noise(480, 640, 3) // 2 + 64).all()
    # Its class is in brackets, and a score makes the text longer.
    counting = boxed(image, (0, 100, 100, 200, 300), (2, 300, 10, 400, 90))
    assert dark(found)[284:300].sum() > dark(counting)[284:300].sum()
    scored = boxed(image, (0, 100, 100, 200, 300, 0.876))
    assert dark(scored)[84:100].sum() > dark(found)[84:100].sum() + 20


@pytest.mark.parametrize(
    "box",
    [(0, 0, 20, 30), (40, 0, 48, 3), (0, 45, 3, 48), (7, 7, 7, 7), (-3, -3, 90, 90)],
)
def test_names_stay_inside(box):
    """Names are inside the image, also for boxes at its sides, empty or beyond it."""
    found = boxed(np.full((48, 48, 3), 100, np.uint8), (2, *box, 0.5))
    whole = boxed(np.full((48, 48, 3), 100, np.uint8), (2, 20, 20, 40, 40, 0.5))
    assert found.shape == (480, 480, 3)
    assert dark(found).sum() == dark(whole).sum() > 50


def test_colors_and_order():
    image = np.zeros((24, 24, 3), np.uint8)
    rows = [(kind, 2, 2, 20, 20) for kind in range(3)]
    corners = [tuple(boxed(image, row, cell=24)[19, 19]) for row in rows]
    assert len(set(corners)) == 3
    assert all(max(color) - min(color) > 100 for color in map(np.array, corners))
    assert tuple(boxed(image, *rows, cell=24)[19, 19]) == corners[0]


@pytest.mark.parametrize(
    "shape", [(2, 2), (3, 5), (10, 10), (10, 26), (10, 1000), (50, 50)]
)
def test_a_confusion_matrix(shape):
    classes = [f"class {i}" for i in range(shape[0])]
    matrix = np.zeros(shape)
    matrix[:, 0] = 7
    found = pictures.confusion_matrix(matrix, classes)
    assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[-1] == 3
    assert min(found.shape[:2]) >= 400 and max(found.shape[:2]) < 2300  # readable
    # Dark where the counts are, which is the first column.
    blue = (found[..., 2].astype(int) - found[..., 0]) > 60
    assert blue.any()
    middle = np.flatnonzero(blue.any(axis=0)).mean()
    matrix = matrix[:, ::-1]
    mirrored = pictures.confusion_matrix(matrix, classes)
    blue = (mirrored[..., 2].astype(int) - mirrored[..., 0]) > 60
    assert np.flatnonzero(blue.any(axis=0)).mean() > middle + 50


def test_a_class_without_examples_divides_by_nothing():
    with np.errstate(all="raise"):
        matrix = np.array([[3.0, 1.0], [0.0, 0.0]])
        assert pictures.confusion_matrix(matrix, ["a", "b"]).dtype == np.uint8


STRANGE = [
    "price $5^^$",
    os.fsdecode(b"caf\xe9"),
    "a\nb\tc\x1b[31m",
    "x" * 300,
    "猫 😀",
    r"\frac{1}",
    "",
]


def test_names_of_every_kind_can_be_drawn():
    images = [noise(4, 4, 3)] * len(STRANGE)
    pictures.labeled_grid(images, STRANGE)
    legend = pictures.with_legend(noise(8, 8, 3), STRANGE)
    assert legend.shape[1] < 1000  # the longest name is cut
    rows = np.array([[i, 0, 0, 2, 2] for i in range(len(STRANGE))], np.float32)
    pictures.with_boxes(images[0], rows, STRANGE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        pictures.confusion_matrix(np.eye(len(STRANGE)), STRANGE)
