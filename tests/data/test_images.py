"""Decoding, the evaluation transform and the random crop."""

import io
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.data import images


def gradient(width, height):
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(
        np.stack([across, down, np.full_like(down, 99)], -1).astype(np.uint8)
    )


def test_a_picture_of_the_right_size_is_unchanged():
    picture = gradient(9, 7)
    np.testing.assert_array_equal(images.fit(picture, (7, 9, 3)), np.asarray(picture))


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (64, 64)])
@pytest.mark.parametrize("crop", [1.0, 224 / 256])
def test_fit_resizes_the_shorter_side_and_crops_the_center(size, crop):
    picture = gradient(*size)
    shorter = round(32 / crop)
    scale = shorter / min(size)
    resized = picture.resize(
        [round(side * scale) for side in size], Image.Resampling.BILINEAR
    )
    left, top = ((side - 32) / 2 for side in resized.size)
    reference = np.asarray(resized.crop((left, top, left + 32, top + 32)), int)
    difference = images.fit(picture, (32, 32, 3), crop).astype(int) - reference
    assert np.abs(difference).max() <= 6  # half a pixel of these gradients


def test_fit_to_a_shape_that_is_not_square():
    picture = gradient(100, 100)
    wide = images.fit(picture, (10, 40, 3))
    np.testing.assert_allclose(wide[:, :, 0].mean(0), np.linspace(3, 252, 40), atol=3)
    assert 90 < wide[0, 0, 1] < wide[-1, 0, 1] < 165  # the middle quarter of the rows


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_gray_or_rgb(tmp_path, mode, channels):
    suffix = ".tif" if mode == "CMYK" else ".png"
    path = tmp_path / f"picture{suffix}"
    if mode == "I;16":
        Image.fromarray(np.full((6, 6), 200 * 257, np.uint16)).save(path)
    else:
        Image.new("L", (6, 6), 255 if mode == "1" else 200).convert(mode).save(path)
    expected = np.full((6, 6, channels), 255 if mode == "1" else 200)
    np.testing.assert_allclose(images.fit(path, (6, 6, channels)), expected, atol=1)


def test_transparent_parts_are_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.all(images.fit(tmp_path / "clear.png", (4, 4, 3)) == 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(tmp_path, orientation):
    upright = np.zeros((32, 16), np.uint8)
    upright[:8, :8] = 255  # white top left, in a tall picture
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    stored.save(path, exif=exif, quality=95)
    expected = pytest.approx(upright.astype(float), abs=12)
    assert np.asarray(images.read_image(path), float) == expected
    assert images.fit(path, (32, 16, 1))[..., 0].astype(float) == expected


def test_large_jpegs_are_decoded_small_with_the_same_result(tmp_path):
    picture = gradient(1600, 1200)
    picture.save(tmp_path / "large.jpg", quality=95)
    decoded = images.read_image(tmp_path / "large.jpg")
    whole = images.fit(decoded, (64, 64, 3)).astype(int)
    fast = images.fit(tmp_path / "large.jpg", (64, 64, 3)).astype(int)
    assert np.abs(fast - whole).max() <= 2

    def crop(picture):
        rng = np.random.default_rng(3)
        box = partial(images.random_crop_box, rng=rng)
        return images.resample(picture, (64, 64, 3), box).astype(int)

    assert np.abs(crop(tmp_path / "large.jpg") - crop(decoded)).max() <= 2


@pytest.mark.parametrize("damage", ["text", "empty", "cut jpeg", "cut png", "header"])
def test_a_damaged_file_is_named(tmp_path, damage):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    kind = "jpeg" if damage == "cut jpeg" else "png"
    Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    path = tmp_path / f"bad.{kind}"
    path.write_bytes(
        {
            "text": b"not a picture",
            "empty": b"",
            "cut jpeg": whole[: len(whole) // 2],
            "cut png": whole[: len(whole) // 2],
            "header": whole[:20],
        }[damage]
    )
    with pytest.raises(UserError) as error:
        images.fit(path, (8, 8, 3))
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"image 7 of a set"):
        images.fit(path.read_bytes(), (8, 8, 3), name="7 of a set")


def test_a_damaged_picture_without_a_path_is_called_a_users():
    with pytest.raises(UserError, match=r"^image of a user: the file is not an image"):
        images.read_image(b"abc")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png: there is no such file"):
        images.read_image(tmp_path / "nothing.png")


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32))
def test_random_boxes_lie_inside_and_keep_area_and_ratio(width, height, seed):
    rng = np.random.default_rng(seed)
    left, top, right, bottom = images.random_crop_box((width, height), rng)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    if min(width, height) > 100 and 0.5 < width / height < 2:
        area = (right - left) * (bottom - top) / (width * height)
        assert 0.07 < area <= 1
        assert 0.7 < (right - left) / (bottom - top) < 1.43


def test_random_boxes_cover_the_whole_range():
    rng = np.random.default_rng(0)
    boxes = np.array([images.random_crop_box((400, 400), rng) for _ in range(2000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area = width * height / 400**2
    assert area.min() < 0.1 and area.max() > 0.95
    assert np.quantile(width / height, 0.5) == pytest.approx(1, abs=0.03)
    assert boxes[:, 0].min() == 0 and boxes[:, 2].max() == 400
