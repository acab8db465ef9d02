"""Pairs of a content and a style."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import images, styles
from cnn_jax.data.loading import eval_batches


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
