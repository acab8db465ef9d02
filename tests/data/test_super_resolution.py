"""Small pictures beside the large ones that they were."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import bicubic, colors
from cnn_jax.data.loading import train_batches
from cnn_jax.data.splits import Varied


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 3])
def test_small_pictures(pictures, scale, channels):
    dataset = data.load(
        "super_resolution",
        dir=str(pictures),
        scale=scale,
        channels=channels,
        image_size=5,
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


def test_luma_of_pictures(pictures):
    whole = data.load("super_resolution", dir=str(pictures), channels=3, image_size=5)
    luma = data.load("super_resolution", dir=str(pictures), channels=1, image_size=5)
    for colored, gray in zip(
        whole.splits["test"].labels, luma.splits["test"].labels, strict=True
    ):
        np.testing.assert_array_equal(colors.luma(colored), gray[..., 0])


def test_pictures_smaller_than_the_scale(pictures, tmp_path, write):
    with pytest.raises(
        UserError, match=r"data\.scale is 9, but a picture has only 8 pix"
    ):
        data.load("super_resolution", scale=9)
    write(tmp_path / "tiny" / "1.png", size=(1, 3))
    with pytest.raises(UserError, match=r"a picture has only 1 pixels on a side"):
        tiny = str(tmp_path / "tiny")
        data.load("super_resolution", dir=str(pictures), test_dir=tiny, image_size=8)
