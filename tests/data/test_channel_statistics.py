"""The mean and the standard deviation of the training images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import DataWarning
from cnn_jax.data import channel_statistics
from cnn_jax.data.splits import Arrays, Varied


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_statistics(count, channels, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, rng.integers(2, 257), (count, 3, 4, channels), np.uint8)
    mean, std = channel_statistics.of_images(images)
    values = images.reshape(-1, channels) / 255
    np.testing.assert_allclose(mean, values.mean(0), atol=1e-12)
    np.testing.assert_allclose(std, np.maximum(values.std(0), 1 / 255), atol=1e-12)


def test_statistics_of_clips():
    clips = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 6, 3), np.uint8)
    frames = clips.reshape(12, 5, 6, 3)
    assert channel_statistics.of_images(clips) == channel_statistics.of_images(frames)


@pytest.mark.parametrize("count", [1, 300, 1000])
def test_a_sample_is_the_same_in_memory_and_streamed(monkeypatch, count):
    monkeypatch.setattr(channel_statistics, "MOST", 400)
    monkeypatch.setattr(channel_statistics, "SLOW", 350)
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 5, 3), np.uint8)
    rows = channel_statistics.counted(count)
    assert len(rows) == len({*rows.tolist()}) == min(count, 400)
    kept = channel_statistics.measured(Arrays(images, np.zeros(count, np.int32)))
    assert kept == channel_statistics.of_images(images[rows])
    mean, std = channel_statistics.measured(Varied((*images,), (*images[..., 0],)))
    if count > 350:
        with pytest.warns(DataWarning, match="400 training images are read"):
            assert len(mean) == 3
    assert (tuple(mean), tuple(std)) == kept and mean[0] == kept[0][0]


def test_images_on_the_disk_are_read_once_and_when_needed():
    class Counting(Varied):
        read = 0

        def examples(self, indices, rngs):
            Counting.read += len(indices)
            return super().examples(indices, rngs)

    images = np.zeros((3, 2, 2, 1), np.uint8)
    mean, std = channel_statistics.measured(Counting((*images,), (*images,)))
    assert Counting.read == 0
    assert (*mean, *std) == (0, 1 / 255) and Counting.read == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_statistics_of_images_with_fractions(count, channels, seed):
    rng = np.random.default_rng(seed)
    low, size = rng.uniform(-900, 900), rng.uniform(1, 900)
    images = rng.uniform(low, low + size, (count, 3, 4, channels)).astype(np.float32)
    mean, std = channel_statistics.of_images(images)
    values = images.reshape(-1, channels).astype(np.float64) / 255
    np.testing.assert_allclose(mean, values.mean(0), atol=1e-9)
    np.testing.assert_allclose(std, values.std(0), rtol=1e-3, atol=1e-9)
    streamed = channel_statistics.measured(Varied((*images,), (*images[..., 0],)))
    assert tuple(map(tuple, streamed)) == (mean, std)


def test_a_channel_of_one_value_with_a_fraction():
    images = np.full((2, 3, 4, 1), 1e4 / 3, np.float32)
    (mean,), (std,) = channel_statistics.of_images(images)
    assert (mean, std) == (pytest.approx(1e4 / 3 / 255), 1 / 255)
