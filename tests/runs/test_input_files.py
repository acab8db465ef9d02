"""Readers that turn the user's files into inputs of a run's network."""

from pathlib import Path
from types import SimpleNamespace

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.data import images
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.models.network import Network
from cnn_jax.runs import input_files
from cnn_jax.runs.resolve import resolve
from cnn_jax.tasks import resizing
from cnn_jax.training import setup
from cnn_jax.training.config import Config


@pytest.fixture
def photo(tmp_path):
    """`photo(name, shape)`: a picture of noise."""

    def make(name, shape):
        noise = np.random.default_rng(len(name)).integers(0, 256, shape, np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
        return tmp_path / name, noise

    return make


def facts(shape, crop=1.0):
    return Dataset({}, tuple("ab"), shape, (0.5,), (0.5,), crop=crop)


def read(file, shape, values, crop=1.0):
    reader = input_files.reader(
        resolve(values), facts(shape, crop), resizing.CENTER_CROP
    )
    return reader(file)


@pytest.mark.parametrize(("crop", "kept"), [(1.0, slice(2, 10)), (0.5, slice(4, 8))])
def test_the_center_of_a_picture(crop, kept, photo, values):
    """Prediction crops a picture as evaluation does, and draws on this crop."""
    file, noise = photo("wide.png", (8, 12))
    found = read(file, (8, 8, 1), values(), crop)
    np.testing.assert_array_equal(found.drawn, found.network)
    if crop == 1:
        np.testing.assert_array_equal(found.network[..., 0], noise[:, kept])
    expected = images.fit(Image.fromarray(noise), (8, 8, 1), crop)
    np.testing.assert_array_equal(found.network, expected)


def test_a_run_of_clips_takes_clips(photo, values, tmp_path):
    frames = tmp_path / "clip"
    frames.mkdir()
    for number in range(3):
        gray = np.full((8, 8), 10 * number, np.uint8)
        Image.fromarray(gray).save(frames / f"{number}.png")
    clips = {"name": "moving_digits", "image_size": 16, "frames": 3}
    given = values(data=clips, model={"name": "mlp"})
    del given["model"]["widths"]
    found = read(frames, (3, 16, 16, 1), given).network
    assert [frame.mean() for frame in found] == [0, 10, 20]


# ------------------------------------------------------------------------ styles

RUN, CONFIG = Path("runs/x"), Config({"data": {"file": "mine.png"}})


class OneStyle(nn.Module):
    pass


class OnePicture(Network):
    one_picture = True


@pytest.fixture
def content(photo):
    """A file, and how it is read."""
    file, noise = photo("content.png", (8, 8, 3))
    return file, lambda _: input_files.Read(noise, noise)


def test_a_content_stands_beside_its_style(content, photo):
    file, own = content
    style, painted = photo("s.png", (8, 16, 3))
    both = input_files.styled(RUN, CONFIG, None, own, style)(file)
    np.testing.assert_array_equal(both.drawn, own(file).drawn)
    assert both.network.shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(both.network[0], own(file).network)
    np.testing.assert_array_equal(both.network[1], painted[:, 4:12])


def test_a_network_that_knows_its_style_takes_the_content_alone(content):
    _, own = content
    assert input_files.styled(RUN, CONFIG, OneStyle(), own, None) is own


def test_a_run_of_one_picture_takes_no_other(content, photo, monkeypatch):
    file, own = content
    pair = np.stack([own(file).network, np.zeros((8, 8, 3), np.uint8)])[None]
    split = Arrays(pair, np.zeros(1, np.int32))
    monkeypatch.setattr(
        setup, "dataset", lambda _: SimpleNamespace(splits={"test": split})
    )
    only = input_files.styled(RUN, CONFIG, OnePicture(), own, None)
    np.testing.assert_array_equal(only(file).network, pair[0, 0])
    other, _ = photo("other.png", (8, 8, 3))
    with pytest.raises(
        UserError, match=r"runs/x was trained on one picture, mine\.png"
    ):
        only(other)
    with pytest.raises(UserError, match="train another run for the given picture"):
        only(other.read_bytes())
