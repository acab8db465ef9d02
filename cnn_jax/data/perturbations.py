"""Images with fewer pixels or with shifted content, for experiments."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Share, Side
from cnn_jax.data import channel_statistics
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays, Shape

Images = (
    UInt8[np.ndarray, "n height width channels"]
    | Float32[np.ndarray, "n height width channels"]
)

KEEP = ("grid", "random")


def view(
    dataset: Dataset,
    *,
    keep_pixels: Share = 1.0,
    keep: str = "grid",
    test_shift: Side | None = None,
) -> Dataset:
    """Returns a data set with the changes of its images that an experiment asks for.

    Args:
      keep_pixels: the share of the pixels that is kept in each image; 1: all pixels.
      keep: which pixels are kept, "grid" or "random"; see `subsample`.
      test_shift: adds a split "shifted" with the test images, each moved by at most
        this number of pixels; see `shift`. A run is evaluated on this split at its end.
        None: no split is added.

    Raises:
      UserError: the images are not in memory; see also `subsample` and `shift`.
    """
    check(keep_pixels, keep)
    if keep_pixels == 1 and test_shift is None:
        return dataset
    splits = dataset.arrays
    if len(splits) < len(dataset.splits):
        raise UserError(
            "data.keep_pixels and data.test_shift can change only images in memory: "
            "set data.in_memory=True, and leave out data.random_crop."
        )
    if keep_pixels < 1:
        splits = {
            role: Arrays(subsample(split.images, keep_pixels, keep), split.labels)
            for role, split in splits.items()
        }
        mean, std = channel_statistics.of_images(splits["train"].images)
        dataset = replace(dataset, mean=mean, std=std)
    if test_shift is not None:
        test = splits["test"]
        splits["shifted"] = Arrays(shift(test.images, test_shift), test.labels)
    shape = splits["train"].image_shape
    return replace(dataset, splits=splits, image_shape=shape)


def viewed_shape(
    image_shape: Shape, *, keep_pixels: float = 1.0, keep: str = "grid", **_: object
) -> Shape:
    """Returns the shape of images after `view`.

    Args:
      image_shape: the shape of the images before `view`.
      keep_pixels, keep: see `view`.
    """
    check(keep_pixels, keep)
    *space, channels = image_shape
    return (*(kept_size(size, keep_pixels, keep) for size in space), channels)


def check(keep_pixels: float, keep: str) -> None:
    """Raises `UserError` unless `keep_pixels` and `keep` have valid values."""
    ranges.check("data.keep_pixels", keep_pixels, Share)
    if keep not in KEEP:
        raise unknown("data.keep", keep, KEEP)


def kept_size(size: int, keep_pixels: float, keep: str) -> int:
    """Returns the number of pixels on a side of an image after `subsample`.

    Args:
      size: the number of pixels on this side before `subsample`.
      keep_pixels, keep: see `view`.
    """
    if keep == "random":
        return size
    return max(round(size * keep_pixels**0.5), 1)


def subsample(images: Images, keep_pixels: float, keep: str) -> np.ndarray:
    """Returns the images with only a share of their pixels.

    The pixels are at the same positions in all images.

    Args:
      keep_pixels: the share of the pixels that is kept.
      keep: "grid" keeps equally spaced rows and columns, as a stride does, so the
        images become smaller. "random" draws the kept pixels at random and makes all
        other pixels black, so the images keep their size.

    Raises:
      UserError: see `check`.
    """
    check(keep_pixels, keep)
    height, width = images.shape[1:3]
    if keep_pixels == 1:
        return images
    if keep == "grid":
        rows, columns = (
            # The middle of each of `n` equal parts.
            ((np.arange(n) + 0.5) * (size / n)).astype(int)
            for size in (height, width)
            for n in [kept_size(size, keep_pixels, keep)]
        )
        return images[:, rows][:, :, columns]
    count = max(round(height * width * keep_pixels), 1)
    chosen = np.random.default_rng(0).permutation(height * width)[:count]
    mask = np.zeros(height * width, np.uint8)
    mask[chosen] = 1
    return images * mask.reshape(height, width, 1)


def shift(images: Images, most: int) -> Images:
    """Returns the images, each moved vertically and horizontally by a few pixels.

    The movement of an image depends only on its index, and is never zero in both
    directions. Pixels from outside of the image are black.

    Args:
      most: the largest movement in pixels along each direction.

    Raises:
      UserError: `most` is below 1, or not smaller than the shorter side of the images.
    """
    moved = np.zeros_like(images)
    height, width = images.shape[1:3]
    if not 0 < most < min(height, width):
        raise UserError(
            f"data.test_shift is {most}; for images of {height}x{width} pixels, it "
            f"must be from 1 to {min(height, width) - 1}."
        )
    for index, image in enumerate(images):
        rng, distances = np.random.default_rng([index]), np.zeros(2, int)
        while not distances.any():
            distances = rng.integers(-most, most, 2, endpoint=True)
        # The remaining pixels along each dimension: their place in the old image and in
        # the new one.
        sources, targets = zip(
            *(
                (slice(max(-d, 0), n - max(d, 0)), slice(max(d, 0), n - max(-d, 0)))
                for d, n in zip(distances, (height, width), strict=True)
            ),
            strict=True,
        )
        moved[index][targets] = image[sources]
    return moved
