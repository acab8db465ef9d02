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
        (noise(4, 5, 5).astype(np.uint16), "it holds uint16, but .* scale them"),
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
