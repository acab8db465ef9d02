"""Noisy pictures beside the clean ones that they were."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data import denoising
from cnn_jax.data.loading import eval_batches, train_batches
from cnn_jax.data.restoration import First


@pytest.mark.parametrize("noise", [10.0, 40.0])
def test_noise_is_gaussian_of_that_deviation_and_new_in_each_epoch(noise):
    picture = np.full((40, 40, 1), 128, np.uint8)
    split = denoising.NoisyPatches((picture,), (picture,), 40, 64, noise)
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


def test_an_evaluation_of_the_training_pictures_sees_noise_too():
    split = denoising.load(First(train_examples=8)).splits["train"]
    first, second = (next(eval_batches(split, batch_size=8)) for _ in range(2))
    np.testing.assert_array_equal(first["image"], second["image"])
    noise = first["image"].astype(float) - first["label"]
    assert noise.std() > 10 and not np.array_equal(noise[0], noise[1])
