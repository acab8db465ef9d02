"""The mean and the standard deviation of each channel of the training images.

Both are computed from exact integer counts of the pixel values, so they are the same on
every machine, and the same for images in memory and on the disk.
"""

import math
import warnings
from collections.abc import Callable, Sequence
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

    If all pixels of a channel have one value, the standard deviation of the channel is
    set to one gray level, 1 / 255.

    Args:
      images: uint8 [n, ..., channels].
    """
    rows = counted(len(images))
    starts = range(0, len(rows), 4096)
    blocks = (images[rows[start : start + 4096]] for start in starts)
    return _of_counts(reduce(np.add, map(_counts, blocks)))


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
        return _counts(np.stack([example["image"] for example in examples]))

    return _of_counts(reduce(np.add, in_blocks(split, count, rows)))


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
