"""Digits whose angle is the label."""

import zlib

import numpy as np
from PIL import Image

from cnn_jax.data import digits, images, rotated_digits


def test_images_and_angles():
    made = rotated_digits.load(train_examples=40, test_examples=9, most_degrees=30.0)
    train, test = made.splits["train"], made.splits["test"]
    assert train.images.shape == (40, 28, 28, 1) and len(test) == 9
    assert train.labels.shape == (40, 1) and train.labels.dtype == np.float32
    assert np.abs(train.labels).max() <= 30 and len(np.unique(train.labels)) == 40
    assert train.labels.min() < -15 and train.labels.max() > 15
    assert made.label_kind == "values" and made.classes == ("degrees",)
    assert not made.mirrorable
    assert made.label_statistics.mean == (train.labels.astype(np.float64).mean(),)
    again = rotated_digits.load(train_examples=3, channels=3, most_degrees=30.0)
    few = again.splits["train"].images
    np.testing.assert_array_equal(few, train.images[:3].repeat(3, axis=-1))


def test_an_image_turned_back_is_the_digit():
    made = rotated_digits.load(train_examples=5, test_examples=1, image_size=64)
    train, pool = made.splits["train"], digits.pools()["train"]
    plain = np.stack(
        [images.fit(Image.fromarray(gray), (64, 64, 1))[..., 0] for gray in pool.images]
    )
    for image, angle in zip(train.images[..., 0], train.labels[:, 0], strict=True):
        back = Image.fromarray(image).rotate(-float(angle), Image.Resampling.BILINEAR)
        # Corners of the canvas get lost.
        middle = (slice(16, 48),) * 2
        ours = np.asarray(back, float)[middle]
        gaps = np.abs(plain[:, middle[0], middle[1]] - ours).mean((1, 2))
        assert gaps.min() < 8


def test_the_images_are_fixed():
    few = rotated_digits.load(train_examples=7, test_examples=3)
    assert zlib.crc32(few.splits["train"].images.tobytes()) == 4255390196
