"""Pairs of a content and a style."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import images, styles
from cnn_jax.data.loading import eval_batches
from cnn_jax.data.styles import Pairs


def test_pairs_to_evaluate_are_centered_boxes(painted):
    contents = tuple(painted(f"c{i}.png") for i in range(3))
    drawn = tuple(painted(f"s{i}.png") for i in range(2))
    split = Pairs(contents, drawn, (8, 8), each=2)
    assert (len(split), split.image_shape, split.label_shape) == (6, (2, 8, 8, 3), ())
    found = list(split.examples(range(6), [None] * 6))
    assert [row["label"] for row in found] == [0, 1, 0, 1, 0, 1]
    for number, row in enumerate(found):
        content, style = row["image"]
        expected = images.fit(contents[number % 3], (8, 8, 3))
        np.testing.assert_array_equal(content, expected)
        np.testing.assert_array_equal(style, images.fit(drawn[number % 2], (8, 8, 3)))


@pytest.mark.parametrize("count", [1, 3])
def test_pairs_to_train_on_are_crops(count, painted):
    """A style that is the only one is seen whole, as it is where it is measured."""
    content = painted("c.png")
    drawn = tuple(painted(f"s{i}.png") for i in range(count))
    split = Pairs((content,), drawn, (8, 8), each=20)
    rngs = [np.random.default_rng(i) for i in range(20)]
    found = list(split.examples(range(20), rngs))
    crops = {row["image"][0].tobytes() for row in found}
    assert len(crops) == 20
    assert {row["label"] for row in found} == set(range(count))
    shown = {row["image"][1].tobytes() for row in found}
    assert (len(shown) == 1) == (count == 1)
    if count == 1:
        assert shown == {images.fit(drawn[0], (8, 8, 3)).tobytes()}


def test_a_part_of_pairs(painted):
    contents = tuple(painted(f"c{i}.png") for i in range(3))
    split = Pairs(contents, (painted("s.png"),), (8, 8), each=4)
    part = split.subset(np.array([0, 3, 2, 5]))
    assert part.contents == (contents[0], contents[2]) and len(part) == 8


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


def test_packages_without_the_picture_are_named(monkeypatch):
    """scikit-image need not be installed."""
    monkeypatch.setattr("cnn_jax.data.styles.package_folder", lambda name: None)
    message = r"neither scikit-image nor scikit-learn has ihc\.png: set data\.dir"
    with pytest.raises(UserError, match=message):
        styles.embedded("ihc.png")


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
        ("picture_and_style", {"file": "none.png"}, "data.file is none.png, but"),
        ("picture_and_style", {"style": "none.png"}, "data.style is none.png, but"),
        (
            "picture_and_style",
            {"style": "setup.cfg"},
            "setup.cfg: the file is not an image",
        ),
        ("picture_and_style", {"image_size": (0,)}, "data.image_size"),
        ("pictures_and_styles", {"styles": "none.png"}, "data.styles is none.png, but"),
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
