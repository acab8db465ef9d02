"""Images of the network's size from files."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import resizing

SHAPE = (4, 4, 1)


@pytest.fixture
def photo(tmp_path):
    """A file and its pixels, 6 high and 8 wide."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png", pixels


@resizing.Stored
def never(file):
    raise AssertionError("the data source was asked")


def test_the_data_source_makes_the_image(photo):
    file, _ = photo
    image = np.ones(SHAPE, np.uint8)
    found = resizing.CENTER_CROP.read(file, SHAPE, resizing.Stored({file: image}.get))
    assert found.network is image and found.drawn is image
    assert resizing.CENTER_CROP.drawn_on_image and resizing.CENTER_CROP.one_size


def test_a_whole_picture_is_stretched(photo):
    file, pixels = photo
    found = resizing.STRETCHED.read(file, (4, 4, 3), never)
    whole = Image.fromarray(pixels).resize((4, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found.network, whole)
    np.testing.assert_array_equal(found.drawn, pixels)
    assert resizing.STRETCHED.one_size and not resizing.STRETCHED.drawn_on_image


def test_a_picture_with_fractions_is_drawn_in_8_bits(tmp_path):
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8, 1)
    np.save(tmp_path / "a.npy", values)
    stored = resizing.Stored(never.function, (0.0, 1.0))
    drawn, network = resizing.STRETCHED.read(tmp_path / "a.npy", (6, 8, 1), stored)
    np.testing.assert_allclose(network, values * 255, rtol=1e-6)
    np.testing.assert_array_equal(drawn, np.rint(network).repeat(3, -1))


def test_a_picture_keeps_its_size(photo):
    file, pixels = photo
    found = resizing.UNCHANGED.read(file, (4, 4, 3), never)
    np.testing.assert_array_equal(found.network, pixels)
    np.testing.assert_array_equal(found.drawn, pixels)
    assert not resizing.UNCHANGED.one_size


@pytest.mark.parametrize("how", [resizing.STRETCHED, resizing.UNCHANGED])
def test_a_file_that_is_no_picture(how, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.png: the file is not an image"):
        how.read(tmp_path / "a.png", SHAPE, never)
