"""Small and noisy pictures beside what they were."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import bicubic, colors, restoration
from cnn_jax.data.loading import eval_batches, train_batches
from cnn_jax.data.splits import Varied


@pytest.fixture
def folder(tmp_path, write):
    """Twelve pictures of sizes of their own."""
    for i in range(12):
        write(tmp_path / "pictures" / f"{i:02}.png", size=(21 + i, 30))
    return str(tmp_path / "pictures")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 3])
def test_small_pictures(folder, scale, channels):
    dataset = data.load(
        "super_resolution", dir=folder, scale=scale, channels=channels, image_size=5
    )
    assert dataset.label_kind == "picture" and dataset.classes == ()
    assert dataset.image_shape == (5, 5, channels)
    assert dataset.label_shape == (5 * scale, 5 * scale, channels)
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert isinstance(test, Varied) and len(test) == 1 and len(train) == 11 * 16
    for small, large in zip(test.images, test.labels, strict=True):
        assert large.shape == (*(scale * n for n in small.shape[:2]), channels)
        np.testing.assert_array_equal(small, bicubic.resize(large, 1 / scale))
    batch = next(train_batches(train, batch_size=8, seed=0, start_step=0, stop_step=1))
    assert batch["image"].shape == (8, 5, 5, channels)
    assert batch["label"].shape == (8, 5 * scale, 5 * scale, channels)


def test_a_folder_to_test_on(folder):
    dataset = data.load("denoising", dir=folder, test_dir=folder, image_size=8)
    assert len(dataset.splits["test"]) == 12
    few = data.load(
        "denoising", dir=folder, image_size=8, train_examples=3, test_examples=1
    )
    assert len(few.splits["train"]) == 3 * 16 and len(few.splits["test"]) == 1


@pytest.mark.parametrize("noise", [10.0, 40.0])
def test_noise_is_gaussian_of_that_deviation_and_new_in_each_epoch(noise):
    picture = np.full((40, 40, 1), 128, np.uint8)
    split = restoration.NoisyPatches((picture,), (picture,), 40, 64, noise)
    batches = list(
        train_batches(split, batch_size=64, seed=3, start_step=0, stop_step=2)
    )
    values = [batch["image"].astype(float) - 128 for batch in batches]
    assert np.std(values[0]) == pytest.approx(noise, rel=0.03)
    assert abs(np.mean(values[0])) < noise / 50
    kurtosis = np.mean((values[0] / noise) ** 4)
    if noise < 20:  # at 40 some is cut off
        assert kurtosis == pytest.approx(3, abs=0.15)
    assert (batches[0]["label"] == 128).all()
    assert not np.array_equal(values[0], values[1])
    again = next(train_batches(split, batch_size=64, seed=3, start_step=0, stop_step=1))
    np.testing.assert_array_equal(again["image"], batches[0]["image"])


def test_noise_of_the_test_is_always_the_same():
    first, second = (
        data.load("denoising", test_examples=5).splits["test"] for _ in range(2)
    )
    for i in range(5):
        np.testing.assert_array_equal(first.images[i], second.images[i])
        assert not np.array_equal(first.images[i], first.labels[i])
    batch = next(eval_batches(first, batch_size=1))
    assert batch["image"].shape == (1, 8, 8, 1)


def test_the_digits_stand_in_for_pictures():
    dataset = data.load("super_resolution")
    assert dataset.image_shape == (4, 4, 1) and dataset.label_shape == (8, 8, 1)
    assert len(dataset.splits["train"]) == 1437 and len(dataset.splits["test"]) == 360
    assert dataset.mean == (0.0,) and dataset.std == (1.0,)
    assert data.load("denoising", channels=3).image_shape == (8, 8, 3)


def test_luma_of_pictures(folder):
    whole = data.load("super_resolution", dir=folder, channels=3, image_size=5)
    luma = data.load("super_resolution", dir=folder, channels=1, image_size=5)
    for colored, gray in zip(
        whole.splits["test"].labels, luma.splits["test"].labels, strict=True
    ):
        np.testing.assert_array_equal(colors.luma(colored), gray[..., 0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("super_resolution", {"scale": 1}, "scale=1"),
        ("denoising", {"noise": 0.0}, "noise=0"),
        ("denoising", {"dir": "FOLDER", "image_size": 50}, "image_size is 50"),
        ("denoising", {"dir": "FOLDER", "patches": 0}, "patches=0"),
        ("denoising", {"dir": "/nowhere"}, "does not exist"),
        ("denoising", {"test_dir": "FOLDER"}, "set both"),
        ("denoising", {"channels": 2}, "channels is 2"),
        ("super_resolution", {"train_examples": 0}, "train_examples=0"),
    ],
)
def test_mistakes(folder, name, options, message):
    options = {k: folder if v == "FOLDER" else v for k, v in options.items()}
    with pytest.raises(UserError, match=message):
        data.load(name, **options)


def test_an_evaluation_of_the_training_pictures_sees_noise_too():
    split = restoration.denoising(train_examples=8).splits["train"]
    first, second = (next(eval_batches(split, batch_size=8)) for _ in range(2))
    np.testing.assert_array_equal(first["image"], second["image"])
    noise = first["image"].astype(float) - first["label"]
    assert noise.std() > 10 and not np.array_equal(noise[0], noise[1])


def test_pictures_smaller_than_the_scale(folder, tmp_path, write):
    with pytest.raises(UserError, match=r"data\.scale is 9, and a picture has 8 pix"):
        data.load("super_resolution", scale=9)
    write(tmp_path / "tiny" / "1.png", size=(1, 3))
    with pytest.raises(UserError, match=r"a picture has 1 pixels on a side"):
        tiny = str(tmp_path / "tiny")
        data.load("super_resolution", dir=folder, test_dir=tiny, image_size=8)
