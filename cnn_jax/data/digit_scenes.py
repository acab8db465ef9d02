"""Scenes of handwritten digits on a larger canvas, with a label for every pixel.

The digits come from `digits`. A scene depends only on its split and its index, so it is
the same on every machine, for any number of scenes.
"""

from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.core.errors import unknown
from cnn_jax.core.ranges import Channels, Examples, Layers, Range
from cnn_jax.data import digits, images
from cnn_jax.data.dataset import Dataset, assemble, check_memory
from cnn_jax.data.labels.boxes import BOXES, padded
from cnn_jax.data.labels.pixels import PIXELS
from cnn_jax.data.roles import WHOLE, Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays, Split
from cnn_jax.data.subset import FEW

CLASSES = ("background", *map(str, range(10)))
SPLITS = {"train": 0, "test": 1, "val": 2}

LABELED = (PIXELS.name, BOXES.name)

MOST_DIGITS = 4
# A digit's side is between 1/6 and 1/2 of the canvas: 8 to 24 pixels of 48.
SMALLEST, LARGEST = 6, 2
TRIES = 50  # attempts to place a digit beside the others
# Pixels of an enlarged digit from this gray level on, of 255, belong to its stroke.
STROKE = 128
# Gray levels of the background's four corners, of the digits, and of the noise.
BACKGROUND, INK, NOISE = (0, 128), (144, 255), 16


class Placed(NamedTuple):
    """The position of a digit in a scene.

    Attributes:
      digit: the index of the digit in the pool of stored digits.
      top, left: the upper left corner of the square that the digit fills, in pixels.
      side: the side of the square in pixels.
    """

    digit: int
    top: int
    left: int
    side: int


def load(
    roles: Roles = WHOLE,
    *,
    image_size: Annotated[int, Range(least=2 * SMALLEST, most=2**16)] = 48,
    channels: Channels = 1,
    train_examples: Examples = 2000,
    test_examples: Examples = 400,
    labels: str = PIXELS.name,
    most_digits: Layers = MOST_DIGITS,
) -> Dataset:
    """Returns scenes of handwritten digits.

    The digits in the scenes of one split do not occur in another split. Digits are
    resampled bilinearly to random sizes, and their squares do not overlap. The
    background is a gradient between random gray levels, and the digits are lighter than
    the background. Weak noise is added to the whole image.

    The label of a pixel is 0 in the background. In the strokes of a digit, it is the
    digit plus one. So the strokes are easy to separate from the background, but the
    class of a stroke depends on the whole digit.

    Args:
      roles: which scenes are for validation.
      image_size: pixels on a side; digits are scaled with the image.
      channels: 1, or 3 for three copies of the gray channel.
      train_examples, test_examples: the number of scenes. A smaller number gives the
        first scenes of a larger number.
      labels: "pixels" for one class per pixel, or "boxes" for one box per digit. Boxes
        are rows (digit, top, left, bottom, right). A box is the smallest box around the
        digit's strokes, with edges in pixels from the upper left corner of the image.
        Padding rows are (-1, 0, 0, 0, 0). With "boxes" there are ten classes, without
        the background.
      most_digits: the largest number of digits in a scene. Every scene has at least one
        digit.
    """
    if labels not in LABELED:
        raise unknown("data.labels", labels, LABELED)
    images.check_shape(image_size, channels)
    shape = (image_size, image_size, channels)
    check_memory(train_examples + test_examples, shape)
    splits: dict[str, Split] = {}
    parts = digits.scenes(roles, train_examples, test_examples)
    for role, (pool, count) in parts.items():
        scenes = np.empty((count, *shape), np.uint8)
        targets = []
        for index in range(count):
            rng = np.random.default_rng([SPLITS[role], index])
            scene = _scene(rng, image_size, pool, most_digits)
            scenes[index] = scene.gray[..., None]
            targets.append(scene.pixels if labels == PIXELS.name else scene.boxes)
        splits[role] = Arrays(scenes, np.stack(targets))
    return assemble(
        splits,
        classes=CLASSES if labels == PIXELS.name else CLASSES[1:],
        in_memory=True,
        label_kind=labels,
    )


SOURCE = Source("digit_scenes", load, takes=Roles, cheap=FEW, embedded=48)


class Scene(NamedTuple):
    """A scene and its labels.

    Attributes:
      gray: the image, uint8 [size, size].
      pixels: the class of each pixel, uint8 [size, size].
      boxes: the box of each digit, float32 [most_digits, 5]; see `load`.
    """

    gray: np.ndarray
    pixels: np.ndarray
    boxes: np.ndarray


def _scene(rng: np.random.Generator, size: int, pool: digits.Pool, most: int) -> Scene:
    canvas = _gradient(rng, size)
    pixels = np.zeros((size, size), np.uint8)
    boxes = padded(np.zeros((0, 5)), most)
    for number, placed in enumerate(_places(rng, size, len(pool.labels), most)):
        digit = Image.fromarray(pool.images[placed.digit])
        shape = (placed.side, placed.side, 1)
        stroke = images.fit(digit, shape)[..., 0].astype(np.int32)  # of 255
        ink = int(rng.integers(*INK, endpoint=True))
        rows = slice(placed.top, placed.top + placed.side)
        columns = slice(placed.left, placed.left + placed.side)
        behind = canvas[rows, columns]
        canvas[rows, columns] = behind + (ink - behind) * stroke // 255
        label = pool.labels[placed.digit]
        pixels[rows, columns][stroke >= STROKE] = label + 1
        ys, xs = np.nonzero(stroke >= STROKE)
        if len(ys):  # in a very small square, the stroke may vanish
            top, left = placed.top + ys.min(), placed.left + xs.min()
            bottom, right = placed.top + ys.max() + 1, placed.left + xs.max() + 1
            boxes[number] = label, top, left, bottom, right
    noise = rng.integers(-NOISE, NOISE, (size, size), np.int32, endpoint=True)
    gray = (canvas + noise).clip(0, 255).astype(np.uint8)
    return Scene(gray, pixels, boxes)


def _places(rng: np.random.Generator, size: int, known: int, most: int) -> list[Placed]:
    """Returns random squares for the digits of a scene. The squares do not overlap.

    Each square has the index of a random digit. A square that fits nowhere beside the
    other squares is left out.

    Args:
      size: the side of the scene in pixels.
      known: the number of stored digits.
      most: the largest number of squares.
    """
    count = int(rng.integers(1, most, endpoint=True))
    sides = rng.integers(size // SMALLEST, size // LARGEST, count, endpoint=True)
    placed: list[Placed] = []
    for side in sorted(sides.tolist(), reverse=True):  # large squares first
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
    """Returns a bilinear gradient of gray levels, int32 [size, size].

    The gray levels of the four corners are random.
    """
    (a, b), (c, d) = rng.integers(*BACKGROUND, (2, 2), endpoint=True)
    x = np.arange(size, dtype=np.int32)
    y, last = x[:, None], size - 1
    upper, lower = a * (last - x) + b * x, c * (last - x) + d * x
    # Integer arithmetic gives the same result on every machine.
    return (upper * (last - y) + lower * y) // last**2
