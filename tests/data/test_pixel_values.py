"""The meaning of stored values: transparency, bit depths, and masks."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import images, mask_records

RAMP = np.arange(32, dtype=np.uint8).reshape(4, 8)


def png(values, depth, color, **chunks):
    """A PNG of rows of samples, big end first, with further chunks."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    rows = values.reshape(height, -1)
    if depth < 8:
        per_byte = 8 // depth
        shifts = depth * np.arange(per_byte)[::-1]
        parts = rows.reshape(height, -1, per_byte).astype(np.uint8) << shifts
        rows = parts.sum(-1).astype(np.uint8)
    else:
        rows = rows.astype(">u2" if depth == 16 else "u1")
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(kind.encode(), content) for kind, content in chunks.items()),
            chunk(b"IDAT", zlib.compress(data)),
            chunk(b"IEND", b""),
        ]
    )


def fit(content, channels=1, warning=None):
    height, width = Image.open(io.BytesIO(content)).size[::-1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        found = images.fit(content, (height, width, channels), name="a.png")
    texts = [str(w.message) for w in caught]
    assert (warning in texts[0] and "a.png" in texts[0]) if warning else not texts
    return found if channels == 3 else found[..., 0]


def test_one_transparent_color_is_white():
    """The result is that of a file with an alpha channel."""
    colors = np.zeros((8, 8, 3), np.uint8)
    colors[2:6, 2:6] = (200, 30, 30)
    clear = (colors == 0).all(-1)
    expected = np.where(clear[..., None], 255, colors)
    for depth, factor in ((8, 1), (16, 257)):
        content = png(colors.astype(int) * factor, depth, 2, tRNS=bytes(6))
        np.testing.assert_array_equal(fit(content, 3), expected)
    with_alpha = np.dstack([colors, np.where(clear, 0, 255)])
    np.testing.assert_array_equal(fit(png(with_alpha, 8, 6), 3), expected)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_transparent_gray_is_white(depth):
    values = RAMP % 2**depth if depth < 8 else RAMP.astype(int) * 2000 % 2**depth
    content = png(values, depth, 0, tRNS=struct.pack(">H", values[0, 3]))
    clear = values == values[0, 3]
    found = fit(content)
    assert (found[clear] == 255).all()
    opaque = fit(png(values, depth, 0))
    np.testing.assert_array_equal(found[~clear], opaque[~clear])


def test_gray_with_alpha_stays_gray(tmp_path):
    gray = np.full((4, 4), 90, np.uint8)
    gray[:2] = 0
    alpha = np.where(gray == 0, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([gray, alpha])).save(tmp_path / "la.png")
    Image.fromarray(gray).save(tmp_path / "trns.png", transparency=0)
    blended, keyed = (images.read_image(tmp_path / f"{n}.png") for n in ("la", "trns"))
    assert blended.mode == keyed.mode == "L"
    np.testing.assert_array_equal(blended, keyed)


def test_palettes_with_alpha(tmp_path):
    picture = Image.fromarray(RAMP % 2)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "a.png", transparency=bytes([255, 0]))
    found = np.asarray(images.read_image(tmp_path / "a.png"))
    np.testing.assert_array_equal(found[0, :2], [(10, 20, 30), (255, 255, 255)])


def test_strips_are_blended_as_the_whole(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8))
    picture.save(tmp_path / "a.png")
    whole = images.read_image(tmp_path / "a.png")
    monkeypatch.setattr("cnn_jax.data.pixel_values._STRIP", 14)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), whole)
    white = Image.new("RGBA", picture.size, "white")
    np.testing.assert_array_equal(
        whole, Image.alpha_composite(white, picture).convert("RGB")
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_sixteen_bits_that_hold_fewer(bits, tmp_path):
    values = np.linspace(0, 2**bits - 1, 32).astype(np.uint16).reshape(4, 8)
    expected = values >> (bits - 8)
    stated = png(values, 16, 0, sBIT=bytes([bits]))
    np.testing.assert_array_equal(fit(stated), expected)
    # The standard wants them scaled to 16 bits.
    scaled = png(values.astype(int) << (16 - bits), 16, 0, sBIT=bytes([bits]))
    np.testing.assert_array_equal(fit(scaled), expected)
    # Without a statement they are what they are.
    dark = "it is nearly black" if bits <= 12 else None
    np.testing.assert_array_equal(fit(png(values, 16, 0), warning=dark), values >> 8)
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path, tiffinfo={281: 2**bits - 1})
    np.testing.assert_array_equal(images.read_image(path), expected)
    with pytest.warns(DataWarning, match="nearly black: store the picture with 8 bits"):
        images.fit(png(np.full((4, 4, 3), 2**bits - 1 & 4095), 16, 2), (4, 4, 3))


def test_thirty_two_bits(tmp_path):
    path = tmp_path / "a.tif"
    for factor in (1, 257):
        Image.fromarray(RAMP.astype(np.int32) * 8 * factor).save(path)
        np.testing.assert_array_equal(images.read_image(path), RAMP * 8)
    Image.fromarray(RAMP.astype(np.int32) * 100000 - 5).save(path)
    with pytest.warns(DataWarning, match=r"a\.tif has values from -5 to 3099995"):
        images.read_image(path)


def test_pgm_files_of_any_range(tmp_path):
    """Pillow scales them."""
    for most in (15, 4095, 65535):
        values = np.linspace(0, most, 32).astype(int).reshape(4, 8)
        content = values.astype(">u2" if most > 255 else "u1").tobytes()
        (tmp_path / "a.pgm").write_bytes(b"P5 8 4 %d\n" % most + content)
        found = np.asarray(images.read_image(tmp_path / "a.pgm"), int)
        assert np.abs(found - values * 255 / most).max() <= 1


def test_sixteen_bits_where_zero_is_white(tmp_path):
    path, values = tmp_path / "a.tif", RAMP.astype(np.uint16) * 2000
    Image.fromarray(values).save(path, tiffinfo={262: 0})
    if Image.open(path).tag_v2[262] != 0:
        pytest.skip("Pillow writes another tag")
    np.testing.assert_array_equal(images.read_image(path), (65535 - values) >> 8)


def test_values_that_are_no_colors(tmp_path):
    Image.new("F", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match="cannot be read: it holds floating-point"):
        images.read_image(tmp_path / "a.tif")


def test_jpegs_of_cmyk(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path, quality=95)
    found = np.asarray(images.read_image(path), int)
    assert (np.abs(found - (255, 0, 0)) <= 3).all()
    whole = path.read_bytes()
    place = whole.index(b"\xff\xee")
    path.write_bytes(whole[:place] + whole[place + 16 :])
    with pytest.warns(
        DataWarning, match=r"a\.jpg has CMYK colors without Adobe's marker"
    ):
        images.read_image(path)


# --------------------------------------------------------------------------- masks


def values(content):
    with mask_records.opened(content, "a") as mask:
        return mask_records.values(mask)


def saved(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_values_of_masks_are_those_of_the_file():
    gray, palette = Image.fromarray(RAMP), Image.fromarray(RAMP)
    palette.putpalette(list(range(96)))
    few = RAMP % 4
    for expected, content in (
        (RAMP, saved(gray)),
        (RAMP, saved(palette)),
        (RAMP, saved(palette, "GIF")),
        (RAMP, saved(gray, "BMP")),
        (RAMP, saved(gray, "PPM")),
        (RAMP, saved(gray, "TIFF", compression="tiff_lzw")),
        (RAMP, saved(Image.fromarray(RAMP.astype(np.uint16)))),
        (RAMP, saved(Image.fromarray(RAMP.astype(np.int32)), "TIFF")),
        (RAMP, saved(gray.convert("RGB"))),
        (RAMP, saved(gray.convert("RGBA"))),
        (RAMP, saved(gray.convert("LA"))),
        (few, png(few, 2, 0)),
        (RAMP % 16, png(RAMP % 16, 4, 0)),
        (RAMP % 2, png(RAMP % 2, 1, 0)),
        (RAMP, b"P5 8 4 40\n" + RAMP.tobytes()),
        (RAMP, b"P5 8 4 300\n" + RAMP.astype(">u2").tobytes()),
        (RAMP, b"P2 8 4 31\n" + " ".join(map(str, RAMP.ravel())).encode()),
    ):
        found = values(content)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("picture", "kind", "message"),
    [
        (
            RAMP,
            "JPEG",
            "stored as JPEG, which changes pixel values: store masks in a lossless",
        ),
        (RAMP, "WEBP", "stored as WEBP, which changes pixel values"),
        (RAMP.astype(np.uint16) * 10, "PNG", "has the value 260, but classes are from"),
        (RAMP.astype(np.int32) - 1, "TIFF", "has the value -1"),
        (RAMP.astype(np.float32), "TIFF", "has colors"),
        (np.dstack([RAMP, RAMP, RAMP + 1]), "PNG", "has colors"),
        (np.dstack([RAMP, RAMP]), "PNG", "has transparent pixels"),
    ],
)
def test_masks_without_values_of_classes(picture, kind, message):
    with pytest.raises(UserError, match=message) as error:
        values(saved(Image.fromarray(picture), kind))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="stored as jpeg"):
        values(saved(Image.fromarray(RAMP), "TIFF", compression="jpeg"))


def test_masks_of_sixteen_bits_a_color():
    with pytest.raises(UserError, match="has colors of 16 bits"):
        values(png(np.ones((4, 4, 3), int), 16, 2))
