"""Pictures with any number of channels."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import bands, images
from cnn_jax.data.loading import train_batches


def noise(*shape):
    return np.random.default_rng(len(shape)).integers(0, 256, shape, np.uint8)


def stack(path, pixels):
    first, *more = (Image.fromarray(page) for page in np.moveaxis(pixels, -1, 0))
    first.save(path, save_all=True, append_images=more)
    return path


def saved(path, pixels):
    np.save(path, pixels)
    return path


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_arrays_and_stacks_of_pages(tmp_path, channels):
    pixels = noise(9, 7, channels)
    files = saved(tmp_path / "a.npy", pixels), stack(tmp_path / "a.tif", pixels)
    for file in files:
        assert bands.is_banded(file, channels)
        np.testing.assert_array_equal(bands.read(file, channels, "a"), pixels)
        np.testing.assert_array_equal(images.fit(file, (9, 7, channels)), pixels)
    assert bands.size(files[0]) == (7, 9)


def test_channels_are_resized_as_those_of_colors(tmp_path):
    pixels = noise(20, 16, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    colors = images.fit(tmp_path / "a.png", (8, 8, 3), 0.8, interpolation="bicubic")
    file = saved(tmp_path / "a.npy", pixels)
    fit = images.fit(file, (8, 8, 3), 0.8, interpolation="bicubic")
    np.testing.assert_array_equal(fit, colors)


def test_the_channels_of_an_image_file(tmp_path):
    pixels = noise(6, 8, 4)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(bands.read(tmp_path / "a.png", 4, "a"), pixels)
    np.testing.assert_array_equal(
        images.fit(Image.fromarray(pixels, "RGBA"), (6, 8, 4)), pixels
    )
    gray = saved(tmp_path / "gray.npy", pixels[..., 0])
    assert images.fit(gray, (6, 8, 1)).shape == (6, 8, 1)
    for channels in (1, 3):
        assert not bands.is_banded(tmp_path / "a.png", channels)


def test_pictures_of_pictures(tmp_path):
    pixels = noise(4, 5, 6)
    np.testing.assert_array_equal(bands.shown(pixels), pixels[..., :3])
    np.testing.assert_array_equal(
        bands.shown(pixels[..., :2]), pixels[..., :1].repeat(3, -1)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (noise(4, 5, 3), r"shape is \(4, 5, 3\), .* config\.data\.channels is 5: set"),
        (
            noise(4, 5, 5).astype(np.uint16),
            r"it holds uint16, but .*data\.value_range=",
        ),
        (noise(4, 5, 5).astype(complex), "it holds complex128, but .* real numbers"),
        (noise(5), r"its shape is \(5,\), not \(height, width, channels\)"),
        (np.array([{}]), "a.npy cannot be read: .*Python objects"),
        (b"\x93NUMPY", "a.npy cannot be read"),
        (None, "there is no such file"),
    ],
)
def test_mistakes_are_one_line(tmp_path, content, message):
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(UserError, match=message):
        images.fit(path, (4, 5, 5))


def test_pages_of_several_sizes(tmp_path):
    pages = [Image.fromarray(noise(4, side)) for side in (5, 6)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match="its pages have several sizes"):
        bands.read(tmp_path / "a.tif", 2, "a.tif")
    Image.fromarray(noise(4, 5)).convert("P").save(tmp_path / "a.png")
    with pytest.raises(UserError, match="of the kind P, but each channel"):
        bands.read(tmp_path / "a.png", 2, "a.png")


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_arrays_and_stacks(tmp_path, in_memory):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = np.full((6, 6, 4), "ab".index(name) * 50 + 1, np.uint8)
            pixels[..., 3] = 7
            saved(tmp_path / name / f"{i}.npy", pixels)
        stack(tmp_path / name / "stack.tiff", pixels)
    options = {"dir": str(tmp_path), "image_size": 4, "channels": 4}
    dataset = data.load("folder", **options, in_memory=in_memory)
    assert dataset.image_shape == (4, 4, 4) and len(dataset.mean) == 4
    steps = {"batch_size": 6, "seed": 0, "start_step": 0, "stop_step": 1}
    (batch,) = train_batches(dataset.splits["train"], **steps)
    expected = (batch["label"] * 50 + 1)[:, None, None]
    assert (batch["image"][..., 0] == expected).all()
    assert (batch["image"][..., 3] == 7).all()


def test_masks_of_arrays(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / f"{split}_masks").mkdir()
        saved(tmp_path / split / f"{split}.npy", noise(6, 8, 5))
        mask = np.arange(48, dtype=np.uint8).reshape(6, 8) % 2
        Image.fromarray(mask).save(tmp_path / f"{split}_masks" / f"{split}.png")
    options = {"mask_folder": "{split}_masks", "image_size": (6, 8), "channels": 5}
    dataset = data.load("masks", dir=str(tmp_path), **options)
    train = dataset.splits["train"]
    np.testing.assert_array_equal(train.images[0], noise(6, 8, 5))
    np.testing.assert_array_equal(train.labels[0], mask)


def wide(*shape, dtype=np.uint16):
    """Values that 8 bits cannot hold."""
    values = np.random.default_rng(7).uniform(0, 4095, shape)
    return values.astype(dtype)


def levels(values, low, high):
    return (values.astype(np.float64) - low) / (high - low) * 255


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float16, bool])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_values_of_any_type_are_gray_levels_with_fractions(tmp_path, dtype, channels):
    values = wide(6, 8, channels, dtype=dtype)
    file = saved(tmp_path / "a.npy", values)
    found = images.fit(file, values.shape, value_range=(-100.0, 4000.0))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, levels(values, -100, 4000), rtol=1e-5, atol=1e-4)
    assert found.max() > 255 or dtype is bool  # no value is clipped


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 4])
def test_pages_of_any_type(tmp_path, dtype, channels):
    values = wide(6, 8, channels, dtype=dtype)
    file = stack(tmp_path / "a.tif", values)
    found = bands.read(file, channels, "a", (0.0, 65535.0))
    np.testing.assert_allclose(found, levels(values, 0, 65535), rtol=1e-5)


def test_the_values_of_an_image_file(tmp_path):
    """16-bit gray pictures, and the 12 bits that Pillow scales to 16 bits."""
    values = wide(6, 8)
    Image.fromarray(values).save(tmp_path / "a.png")
    header = b"P5 8 6 4095\n"
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    for name in ("a.png", "a.pgm"):
        found = images.fit(tmp_path / name, (6, 8, 1), value_range=(0.0, 4095.0))
        expected = levels(values, 0, 4095)[..., None]
        np.testing.assert_allclose(found, expected, atol=5e-3)
    colors = noise(6, 8, 3)
    Image.fromarray(colors).save(tmp_path / "c.png")
    found = images.fit(tmp_path / "c.png", (6, 8, 3), value_range=(0.0, 255.0))
    np.testing.assert_allclose(found, colors, rtol=1e-6)


def test_white_may_be_zero(tmp_path):
    values = wide(6, 8)
    tags = {262: 0}  # PhotometricInterpretation: WhiteIsZero
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo=tags)
    found = images.fit(tmp_path / "a.tif", (6, 8, 1), value_range=(0.0, 65535.0))
    expected = levels(65535 - values.astype(int), 0, 65535)[..., None]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("interpolation", images.INTERPOLATIONS)
def test_a_range_of_255_resizes_as_8_bits(tmp_path, interpolation):
    pixels = noise(20, 16, 3)
    file = saved(tmp_path / "a.npy", pixels)
    whole = images.fit(file, (9, 7, 3), 0.8, interpolation=interpolation)
    options = {"interpolation": interpolation, "value_range": (0.0, 255.0)}
    found = images.fit(file, (9, 7, 3), 0.8, **options)
    assert np.abs(found.clip(0, 255) - whole).max() < 1.1  # rounded in two dimensions
    np.testing.assert_array_equal(bands.rounded(found).shape, whole.shape)
    assert not (found == np.rint(found)).all()


def test_pictures_with_fractions_are_shown_rounded():
    pixels = np.array([[[-3.0], [0.6], [254.4], [999.0]]], np.float32)
    expected = [[[0] * 3, [1] * 3, [254] * 3, [255] * 3]]
    np.testing.assert_array_equal(bands.shown(pixels), expected)
    assert bands.shown(pixels).dtype == np.uint8


def test_values_without_a_meaning_are_one_line(tmp_path):
    values = wide(4, 5, dtype=np.float32)
    values[1, 2] = np.nan
    file = saved(tmp_path / "a.npy", values)
    with pytest.raises(UserError, match=r"a\.npy .*values that are not finite"):
        images.fit(file, (4, 5, 1), value_range=(0.0, 1.0))
    Image.fromarray(noise(4, 5)).convert("P").save(tmp_path / "p.png")
    with pytest.raises(UserError, match="of the kind P, but each channel"):
        images.fit(tmp_path / "p.png", (4, 5, 1), value_range=(0.0, 1.0))
    wide(4, 5, 3).astype(">u2").tofile(tmp_path / "raw")
    header = b"P6 5 4 65535\n"
    (tmp_path / "c.ppm").write_bytes(header + (tmp_path / "raw").read_bytes())
    with pytest.raises(UserError, match="of which Pillow reads only 8: store it"):
        images.fit(tmp_path / "c.ppm", (4, 5, 3), value_range=(0.0, 65535.0))


@pytest.fixture
def deep(tmp_path):
    """A folder of 16-bit pictures of two classes, as arrays and as TIFF files."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(4):
            values = np.random.default_rng([i, ord(name)]).integers(
                300, 900, (9, 8, 2), np.uint16
            )
            saved(tmp_path / name / f"{i}.npy", values)
            stack(tmp_path / name / f"{i}.tif", values[::-1])
    return {
        "dir": str(tmp_path),
        "image_size": 6,
        "channels": 2,
        "value_range": (200.0, 1000.0),
    }


@pytest.mark.parametrize("more", [{}, {"random_crop": (0.5, 1.0)}])
def test_where_deep_pictures_lie_decides_nothing(deep, more):
    memory, disk = (
        data.load("folder", **deep, **more, in_memory=held) for held in (True, False)
    )
    assert memory.image_type == disk.image_type == np.float32
    assert memory.splits["test"].images.dtype == np.float32
    assert (*memory.mean, *memory.std) == (*disk.mean, *disk.std)
    steps = {"batch_size": 4, "seed": 0, "start_step": 0, "stop_step": 3}
    batches = [train_batches(d.splits["train"], **steps) for d in (memory, disk)]
    for one, other in zip(*batches, strict=True):
        assert one["image"].dtype == np.float32
        np.testing.assert_array_equal(one["image"], other["image"])


def test_a_deep_picture_keeps_more_than_8_bits(deep):
    train = data.load("folder", **deep).splits["train"].images
    assert len(np.unique(train.round(3))) > 256


def test_masks_of_deep_pictures(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / f"{split}_masks").mkdir()
        values = wide(6, 8, 5)
        saved(tmp_path / split / f"{split}.npy", values)
        mask = np.arange(48, dtype=np.uint8).reshape(6, 8) % 2
        Image.fromarray(mask).save(tmp_path / f"{split}_masks" / f"{split}.png")
    options = {"mask_folder": "{split}_masks", "image_size": (6, 8), "channels": 5}
    options["value_range"] = (0.0, 4095.0)
    train = data.load("masks", dir=str(tmp_path), **options).splits["train"]
    np.testing.assert_allclose(train.images[0], levels(values, 0, 4095), rtol=1e-5)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0,), (0.0, 1.0, 2.0)])
def test_a_wrong_range_is_an_error(deep, ends):
    with pytest.raises(UserError, match=r"config\.data\.value_range=.* the smaller"):
        data.load("folder", **deep | {"value_range": ends})
