"""Small and noisy pictures beside what they were."""

import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError


def test_a_folder_to_test_on(pictures):
    dataset = data.load(
        "denoising", dir=str(pictures), test_dir=str(pictures), image_size=8
    )
    assert len(dataset.splits["test"]) == 12
    few = data.load(
        "denoising", dir=str(pictures), image_size=8, train_examples=3, test_examples=1
    )
    assert len(few.splits["train"]) == 3 * 16 and len(few.splits["test"]) == 1


def test_the_digits_stand_in_for_pictures():
    dataset = data.load("super_resolution")
    assert dataset.image_shape == (4, 4, 1) and dataset.label_shape == (8, 8, 1)
    assert len(dataset.splits["train"]) == 1437 and len(dataset.splits["test"]) == 360
    assert dataset.mean == (0.0,) and dataset.std == (1.0,)
    assert data.load("denoising", channels=3).image_shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("super_resolution", {"scale": 1}, "scale=1"),
        ("denoising", {"noise": 0.0}, "noise=0"),
        ("denoising", {"dir": "FOLDER", "image_size": 50}, "image_size is 50"),
        ("denoising", {"dir": "FOLDER", "patches": 0}, "patches=0"),
        ("denoising", {"dir": "/nowhere"}, "does not exist"),
        ("denoising", {"test_dir": "FOLDER"}, "set data.dir to"),
        ("denoising", {"channels": 2}, "channels is 2"),
        ("super_resolution", {"train_examples": 0}, "train_examples=0"),
    ],
)
def test_mistakes(pictures, name, options, message):
    options = {k: str(pictures) if v == "FOLDER" else v for k, v in options.items()}
    with pytest.raises(UserError, match=message):
        data.load(name, **options)
