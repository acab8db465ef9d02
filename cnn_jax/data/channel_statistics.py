"""The mean and the standard deviation of each channel of the training images.

For uint8 images, both are computed from exact integer counts of the pixel values, so
they are the same on every machine. For float32 images, they are computed from the means
of each image, which are added exactly. So both are the same for images in memory and
on the disk.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache, reduce
from typing import overload

import numpy as np

from cnn_jax.core.errors import DataWarning
from cnn_jax.data.splits import Arrays, Split, Streamed, in_blocks

MOST = 2**16  # images of a split that are counted; larger splits are sampled
SLOW = 2**12  # images on the disk from which a warning says that reading takes time

Numbers = tuple[float, ...]


class Measured(Sequence):
    """Floats that a function computes when they are first needed.

    Attributes:
      compute: the function. It is called at every access.
    """

    def __init__(self, compute: Callable[[], Numbers]) -> None:
        self.compute = compute

    def __len__(self) -> int:
        return len(self.compute())

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Numbers: ...
    def __getitem__(self, index: int | slice) -> float | Numbers:
        return self.compute()[index]


# The mean or the standard deviation of each channel.
Statistic = Numbers | Measured


def measured(split: Split) -> tuple[Statistic, Statistic]:
    """Returns the mean and the standard deviation of each channel of a split's images.

    They are for values divided by 255. Images are counted as evaluation sees them. In a
    split of more than `MOST` images, only `MOST` evenly spaced images are counted.

    Images on the disk are read when a number is first needed. So no image is read if
    the normalization comes from elsewhere.
    """
    if isinstance(split, Arrays):
        return of_images(split.images)
    compute = cache(lambda: _of_streamed(split))
    return Measured(lambda: compute()[0]), Measured(lambda: compute()[1])


def counted(count: int) -> np.ndarray:
    """Returns the indices of the images that are counted, of `count` images."""
    most = min(count, MOST)
    return np.arange(most) * count // most


def of_images(images: np.ndarray) -> tuple[Numbers, Numbers]:
    """Returns the mean and the standard deviation of each channel; see `measured`.

    The standard deviation is at least one gray level, 1 / 255, for uint8 images. For
    float32 images, it is 1 / 255 only if all pixels of a channel have one value.

    Args:
      images: gray levels [n, ..., channels], uint8 or float32.
    """
    rows = counted(len(images))
    starts = range(0, len(rows), 4096)
    blocks = (images[rows[start : start + 4096]] for start in starts)
    return _of_blocks(map(_summary, blocks))


def _of_streamed(split: Streamed) -> tuple[Numbers, Numbers]:
    rows = counted(len(split))
    if len(rows) > SLOW:
        text = (
            f"{len(rows):,} training images are read for their mean and standard "
            "deviation, which takes time. config.data.normalization=imagenet needs no "
            "such images."
        )
        warnings.warn(DataWarning(text), stacklevel=2)

    def count(part: Sequence[int] | np.ndarray) -> np.ndarray:
        examples = split.examples(part, [None] * len(part))
        return _summary(np.stack([example["image"] for example in examples]))

    return _of_blocks(in_blocks(split, count, rows))


def _summary(images: np.ndarray) -> np.ndarray:
    """Returns what the statistics of images are computed from."""
    return _counts(images) if images.dtype == np.uint8 else _means(images)


def _of_blocks(blocks: Iterable[np.ndarray]) -> tuple[Numbers, Numbers]:
    """Returns the statistics of images from the summaries of their blocks."""
    first, *more = blocks
    if first.dtype == np.float64:
        return _of_means(np.concatenate([first, *more]))
    return _of_counts(reduce(np.add, more, first))


def _means(images: np.ndarray) -> np.ndarray:
    """Returns the mean, and the mean of the squares, of each channel of each image.

    The shape is [n, 2, channels].
    """
    found = []
    for image in images:
        values = image.reshape(-1, image.shape[-1]).astype(np.float64)
        found.append([values.mean(0), np.square(values).mean(0)])
    return np.array(found)


def _of_means(means: np.ndarray) -> tuple[Numbers, Numbers]:
    mean, std = [], []
    for first, second in means.transpose(2, 1, 0):
        middle, square = (math.fsum(each) / len(each) for each in (first, second))
        deviation = math.sqrt(max(square - middle**2, 0))
        # Below this share of the mean, the deviation is a rounding error.
        constant = deviation <= 1e-6 * abs(middle)
        mean.append(middle / 255)
        std.append((1 if constant else deviation) / 255)
    return tuple(mean), tuple(std)


def _counts(images: np.ndarray) -> np.ndarray:
    """Returns how often each value occurs in each channel, [channels, 256]."""
    channels = range(images.shape[-1])
    flat = (images[..., channel].ravel() for channel in channels)
    return np.stack([np.bincount(values, minlength=256) for values in flat])


def _of_counts(counts: np.ndarray) -> tuple[Numbers, Numbers]:
    values = np.arange(256)
    total = int(counts[0].sum())
    mean, std = [], []
    for count in counts:  # exact integers of any size until the division
        first, second = int(count @ values), int(count @ values**2)
        mean.append(first / total / 255)
        variance = (second * total - first**2) / total**2
        std.append(max(math.sqrt(variance), 1) / 255)
    return tuple(mean), tuple(std)
