"""Scenes of handwritten digits on larger canvases, with a label for every pixel.

The digits are the real ones of `digits`. Each scene is drawn from its split and its
number alone, so that it is the same on every machine and however many there are.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from PIL import Image

from cnn_jax.data import digits, images
from cnn_jax.data.dataset import Arrays, Dataset, assemble, check_count
from cnn_jax.errors import unknown

CLASSES = ("background", *map(str, range(10)))
SPLITS = {"train": 0, "test": 1}

LABELLED = ("pixels", "boxes")

MOST_DIGITS = 4
# A digit's side is from a sixth to a half of the canvas, 8 to 24 pixels of 48.
SMALLEST, LARGEST = 6, 2
TRIES = 50  # to find a digit a place beside the others
STROKE = 128  # of 255: from here on, an enlarged digit's pixel is a part of it
# Grey levels: of the background's four corners, of the digits, of the noise on both.
BACKGROUND, INK, NOISE = (0, 128), (144, 255), 16


class Placed(NamedTuple):
    """A digit's place in a scene: which one it is, and the square that it fills."""

    digit: int
    top: int
    left: int
    side: int


def load(
    *,
    image_size: int = 48,
    channels: int = 1,
    train_examples: int = 2000,
    test_examples: int = 400,
    labels: str = "pixels",
) -> Dataset:
    """Scenes of one to four digits; training and test scenes share no digit.

    Digits are resampled bilinearly to random sizes, and their squares do not overlap.
    They are lighter than what is behind them, a gradient between random grey levels;
    over both lies weak noise. A label is a uint8: 0 for the background, and for the
    strokes of a digit one more than the digit. So the pixels of a stroke are easily
    told from the background, and their class by the whole digit only.

    Args:
      image_size: pixels on a side; digits grow with it.
      channels: 1, or 3 for the same grey three times.
      train_examples, test_examples: how many scenes; fewer are the first of more.
      labels: "pixels", or "boxes" around the strokes of each digit; these have ten
        classes, without one for the background.
    """
    if labels not in LABELLED:
        raise unknown("data.labels", labels, LABELLED)
    images.check_shape(image_size, channels)
    images.check_least("image_size", image_size, 2 * SMALLEST)
    splits = []
    for count, (role, pool) in zip(
        (train_examples, test_examples), digits.pools().items(), strict=True
    ):
        check_count(count, f"{role}_examples")
        scenes = np.empty((count, image_size, image_size, channels), np.uint8)
        targets = np.empty((count, image_size, image_size), np.uint8)
        for index in range(count):
            rng = np.random.default_rng([SPLITS[role], index])
            grey, targets[index] = _scene(rng, image_size, pool)
            scenes[index] = grey[..., None]
        if labels == "boxes":
            targets = boxes(role, count, image_size=image_size)
        splits.append(Arrays(scenes, targets))
    return assemble(
        *splits,
        classes=CLASSES if labels == "pixels" else CLASSES[1:],
        in_memory=True,
        label_kind=labels,
    )


def boxes(
    role: str, count: int, *, image_size: int = 48
) -> Float32[np.ndarray, "count most 5"]:
    """Where the digits of the first scenes of a split are: labels for detection.

    For each scene four rows (digit, top, left, bottom, right), the tight box around the
    pixels that `load` labels as the digit's, in pixels from the image's upper left
    corner to the box's edges. Rows without a digit are (-1, 0, 0, 0, 0).

    Args:
      role: "train" or "test".
      count: how many scenes, as `train_examples` or `test_examples`.
      image_size: as for `load`.
    """
    pool = digits.pools()[role]
    found = np.zeros((count, MOST_DIGITS, 5), np.float32)
    found[..., 0] = -1
    for index in range(count):
        rng = np.random.default_rng([SPLITS[role], index])
        _gradient(rng, image_size)  # draws what the scene draws before its digits
        placed = _places(rng, image_size, len(pool.labels))
        for row, place in enumerate(placed):
            ys, xs = np.nonzero(_stroke(pool, place) >= STROKE)
            if len(ys):  # in a very small square, nothing may be left of the stroke
                top, left = place.top + ys.min(), place.left + xs.min()
                bottom, right = place.top + ys.max() + 1, place.left + xs.max() + 1
                found[index, row] = pool.labels[place.digit], top, left, bottom, right
    return found


def _scene(
    rng: np.random.Generator, size: int, pool: digits.Pool
) -> tuple[np.ndarray, np.ndarray]:
    """A scene, uint8 [size, size], and its labels, likewise."""
    canvas = _gradient(rng, size)
    labels = np.zeros((size, size), np.uint8)
    for placed in _places(rng, size, len(pool.labels)):
        stroke = _stroke(pool, placed)
        ink = int(rng.integers(*INK, endpoint=True))
        rows = slice(placed.top, placed.top + placed.side)
        columns = slice(placed.left, placed.left + placed.side)
        behind = canvas[rows, columns]
        canvas[rows, columns] = behind + (ink - behind) * stroke // 255
        labels[rows, columns][stroke >= STROKE] = pool.labels[placed.digit] + 1
    noise = rng.integers(-NOISE, NOISE, (size, size), np.int32, endpoint=True)
    return (canvas + noise).clip(0, 255).astype(np.uint8), labels


def _stroke(pool: digits.Pool, placed: Placed) -> np.ndarray:
    """How much of a digit's ink each pixel of its square has, int32, of 255."""
    digit = Image.fromarray(pool.images[placed.digit])
    return images.fit(digit, (placed.side, placed.side, 1))[..., 0].astype(np.int32)


def _places(rng: np.random.Generator, size: int, known: int) -> list[Placed]:
    """Squares that do not overlap, of digits below `known`; one without room is left
    out."""
    count = int(rng.integers(1, MOST_DIGITS, endpoint=True))
    sides = rng.integers(size // SMALLEST, size // LARGEST, count, endpoint=True)
    placed: list[Placed] = []
    for side in sorted(sides.tolist(), reverse=True):  # large ones while there is room
        digit = int(rng.integers(known))
        for _ in range(TRIES):
            top, left = rng.integers(0, size - side, 2, endpoint=True).tolist()
            if all(
                top + side <= other.top
                or other.top + other.side <= top
                or left + side <= other.left
                or other.left + other.side <= left
                for other in placed
            ):
                placed.append(Placed(digit, top, left, side))
                break
    return placed


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """int32 [size, size]: bilinear between random grey levels at the corners."""
    (a, b), (c, d) = rng.integers(*BACKGROUND, (2, 2), endpoint=True)
    x = np.arange(size, dtype=np.int32)
    y, last = x[:, None], size - 1
    upper, lower = a * (last - x) + b * x, c * (last - x) + d * x
    # In whole numbers, which are the same on every machine.
    return (upper * (last - y) + lower * y) // last**2
