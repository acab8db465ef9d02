"""Pairs of a content and a style."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import images
from cnn_jax.data.loading import eval_batches, train_batches


@pytest.fixture
def folder(tmp_path, write):
    """Twelve pictures of sizes of their own."""
    for i in range(12):
        write(tmp_path / "pictures" / f"{i:02}.png", size=(21 + i, 30))
    return tmp_path / "pictures"


def batch_of(split, step=0, size=8):
    batches = train_batches(
        split, batch_size=size, seed=0, start_step=step, stop_step=step + 1
    )
    return next(batches)


def test_embedded_pictures():
    one = data.load("picture_and_style", image_size=(8, 12))
    assert one.image_shape == (2, 8, 12, 3) and one.label_kind == "style"
    assert len(one.splits["train"]) == len(one.splits["test"]) == 1
    many = data.load("pictures_and_styles", image_size=(8,))
    assert len(many.splits["train"]) == 6 and len(many.splits["test"]) == 1
    assert many.image_shape == (2, 8, 8, 3)
    (first,) = eval_batches(many.splits["test"], batch_size=1)
    square = data.load("picture_and_style", image_size=(8,)).splits["test"]
    np.testing.assert_array_equal(first["image"], square.images)  # the pagoda
    assert data.describe("picture_and_style", image_size=(8,)).label_kind == "style"
    few = data.load("pictures_and_styles", train_examples=2, test_examples=1, crops=3)
    assert len(few.splits["train"]) == 6


def test_files(folder):
    content, style = folder / "00.png", folder / "05.png"
    one = data.load(
        "picture_and_style", file=str(content), style=str(style), image_size=(10,)
    )
    for split in one.splits.values():
        (pair,) = split.images
        for found, file in zip(pair, (content, style), strict=True):
            np.testing.assert_array_equal(found, images.fit(file, (10, 10, 3)))


def test_one_style_is_whole_and_contents_are_crops(folder):
    style = folder / "05.png"
    dataset = data.load(
        "pictures_and_styles", dir=str(folder), styles=str(style), image_size=(10,)
    )
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(train), len(test)) == (11, 1)
    first, second = batch_of(train), batch_of(train, 11)  # of the next epochs
    assert first["image"].shape == (8, 2, 10, 10, 3)
    whole = images.fit(style, (10, 10, 3))
    assert (first["image"][:, 1] == whole).all()
    again = batch_of(train)
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    of = dict(zip(second["index"], second["image"][:, 0], strict=True))
    common = [i for i in first["index"] if i in of]
    assert common
    for index, image in zip(first["index"], first["image"][:, 0], strict=True):
        assert index not in of or not np.array_equal(image, of[index])
    (batch,) = eval_batches(test, batch_size=1)
    expected = images.fit(folder / "09.png", (10, 10, 3))
    np.testing.assert_array_equal(batch["image"][0, 0], expected)


def test_many_styles(folder, tmp_path):
    for i, value in enumerate((10, 100, 200)):
        (tmp_path / "styles").mkdir(exist_ok=True)
        gray = Image.fromarray(np.full((12, 12), value, np.uint8))
        gray.save(tmp_path / "styles" / f"{i}.png")
    dataset = data.load(
        "pictures_and_styles",
        dir=str(folder),
        test_dir=str(folder),
        styles=str(tmp_path / "styles"),
        image_size=(6,),
    )
    batch = batch_of(dataset.splits["train"], size=24)
    values = np.array([10, 100, 200])[batch["label"]]
    assert (batch["image"][:, 1] == values[:, None, None, None]).all()
    assert len(set(values)) == 3
    (batch,) = eval_batches(dataset.splits["test"], batch_size=12)
    assert list(batch["label"]) == [0, 1, 2] * 4


def test_a_crop_has_the_aspect_ratio_and_at_least_half_of_the_picture():
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    picture = Image.fromarray(np.tile(ramp, (100, 1)))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image = images.random_crop(picture, (10, 20, 1), rng)[0, :, 0]
        covered = (float(image[-1]) - image[0]) / 255 * 20 / 19
        assert 0.45 < covered <= 1.01


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("picture_and_style", {"file": "none.png"}, "data.file none.png: there is no"),
        ("picture_and_style", {"style": "none.png"}, "data.style none.png: there is"),
        ("picture_and_style", {"style": "setup.cfg"}, "setup.cfg: not an image"),
        ("picture_and_style", {"image_size": (0,)}, "data.image_size"),
        ("pictures_and_styles", {"styles": "none.png"}, "data.styles none.png: there"),
        ("pictures_and_styles", {"styles": "configs"}, "holds no pictures"),
        ("pictures_and_styles", {"dir": "nowhere"}, "does not exist"),
        ("pictures_and_styles", {"test_dir": "configs"}, "data.dir is not"),
        ("pictures_and_styles", {"crops": 0}, "data.crops=0"),
        ("pictures_and_styles", {"train_examples": 0}, "data.train_examples=0"),
    ],
)
def test_mistakes(name, options, message):
    with pytest.raises(UserError, match=message):
        data.load(name, **options)
