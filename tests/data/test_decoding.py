"""Which files are opened, how large they may be, and which way is up."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.data import decoding, images

PIXELS = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10


def encoded(kind, pixels=PIXELS, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, depth=8, color=0):
    """A PNG that declares a size, and holds nearly nothing."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def message(place, content):
    place.write_bytes(content)
    with pytest.raises(UserError) as error:
        images.read_image(place)
    text = str(error.value)
    assert str(place) in text and "\n" not in text
    return text


@pytest.mark.parametrize("kind", decoding.FORMATS)
def test_documented_formats_are_read_whatever_the_suffix(kind, tmp_path):
    (tmp_path / "a.bmp").write_bytes(encoded(kind))
    assert images.read_image(tmp_path / "a.bmp").size == (6, 4)


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PCX", "SGI", "ICO", "JPEG2000"])
def test_other_formats_are_not_tried(kind, tmp_path):
    content = encoded(kind)
    Image.open(io.BytesIO(content)).close()  # Pillow knows it
    assert "not an image, or damaged (formats: BMP GIF JPEG" in message(
        tmp_path / "a.png", content
    )


@pytest.mark.parametrize(
    "content",
    [
        png(30000, 30000),
        png(2**31 - 1, 2**31 - 1, 16, 6),
        b"P6\n100000 100000\n255\n",
        b"GIF89a"
        + struct.pack("<HHBBBBHHHHB", 99, 99, 0, 0, 0, 0x2C, 0, 0, 65535, 65535, 0)
        + b"\2\2D\1\0;",
    ],
)
def test_too_many_pixels_are_refused_by_the_header(content, tmp_path, monkeypatch):
    monkeypatch.setattr(Image.core, "new", None)  # nothing is allocated
    assert "it has more than 134217728 pixels" in message(tmp_path / "a.png", content)


def test_the_limit_lies_below_that_of_pillow(tmp_path):
    text = message(tmp_path / "a.png", png(12000, 12000))
    assert "it has 12000x12000 pixels, but the limit is 134217728 pixels" in text


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("kind", decoding.FORMATS)
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_files_are_one_line(kind, damage, tmp_path):
    whole = encoded(kind)
    for place in range(0, len(whole), 7):
        content = {
            "cut": whole[:place],
            "flipped": whole[:place]
            + bytes([whole[place] ^ 0x55])
            + whole[place + 1 :],
            "empty": bytes(place),
        }[damage]
        try:
            images.fit(content, (4, 4, 3))
        except UserError as error:
            assert "\n" not in str(error)


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    for name, text in (("a.png", "a pipe, a socket"), ("b.png", "it is a folder")):
        with pytest.raises(UserError, match=text):
            images.read_image(tmp_path / name)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_files_are_turned_once(orientation, compression, tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(PIXELS).save(
        path, tiffinfo={274: orientation}, compression=compression
    )
    turned = decoding.turned(Image.fromarray(PIXELS), orientation)
    np.testing.assert_array_equal(images.read_image(path), turned)
    shape = (turned.height, turned.width, 1)
    np.testing.assert_array_equal(images.fit(path, shape)[..., 0], turned)
    with decoding.opened(path, "image a") as image:
        placed = decoding.placement(image)
    assert placed == ((6, 4), orientation) and placed.upright == turned.size


def test_a_picture_lies_as_its_annotation_says(tmp_path):
    for kind in ("png", "tif"):
        exif = Image.Exif()
        exif[0x0112] = 6
        path = tmp_path / f"a.{kind}"
        Image.fromarray(PIXELS).save(path, exif=exif)
        lying = images.annotated(path, (4, 6, 1), (6, 4))[..., 0]
        np.testing.assert_array_equal(lying, PIXELS)
        upright = images.annotated(path, (6, 4, 1), (4, 6))[..., 0]
        np.testing.assert_array_equal(upright, np.rot90(PIXELS, -1))


def test_exif_data_that_is_no_exif_data(tmp_path):
    whole = encoded("JPEG")
    broken = b"\xff\xe1" + struct.pack(">H", 16) + b"Exif\0\0no tiff!"
    (tmp_path / "a.jpg").write_bytes(whole[:2] + broken + whole[2:])
    same = images.read_image(tmp_path / "a.jpg")
    np.testing.assert_array_equal(same, Image.open(io.BytesIO(whole)))


def test_exif_data_behind_the_pixels_of_a_png(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded("PNG", exif=exif)
    start, end = whole.index(b"eXIf") - 4, whole.index(b"IDAT") - 4
    moved = whole[:start] + whole[end:-12] + whole[start:end] + whole[-12:]
    (tmp_path / "a.png").write_bytes(moved)
    np.testing.assert_array_equal(
        images.read_image(tmp_path / "a.png"), np.rot90(PIXELS, -1)
    )
