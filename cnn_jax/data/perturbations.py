"""Images with fewer pixels or shifted content, for experiments."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Share, Side
from cnn_jax.data.dataset import Dataset, channel_statistics
from cnn_jax.data.splits import Arrays, Shape

Images = UInt8[np.ndarray, "n height width channels"]

KEEP = ("grid", "random")


def view(
    dataset: Dataset,
    *,
    keep_pixels: Share = 1.0,
    keep: str = "grid",
    test_shift: Side | None = None,
) -> Dataset:
    """Returns the data set with the perturbations of an experiment.

    Args:
      keep_pixels, keep: the share of the pixels that is kept, and which pixels; see
        `subsample`.
      test_shift: adds a split "shifted" with the test images moved by up to this many
        pixels; see `shift`. A run is also evaluated on it at its end.

    Raises `UserError` if the images are not in memory, and the errors of `subsample`
    and `shift`.
    """
    check(keep_pixels, keep)
    if keep_pixels == 1 and test_shift is None:
        return dataset
    splits = dataset.arrays
    if len(splits) < len(dataset.splits):
        raise UserError(
            "data.keep_pixels and data.test_shift change images in memory: set "
            "data.in_memory=True."
        )
    if keep_pixels < 1:
        splits = {
            role: Arrays(subsample(split.images, keep_pixels, keep), split.labels)
            for role, split in splits.items()
        }
        mean, std = channel_statistics(splits["train"].images)
        dataset = replace(dataset, mean=mean, std=std)
    if test_shift is not None:
        test = splits["test"]
        splits["shifted"] = Arrays(shift(test.images, test_shift), test.labels)
    shape = splits["train"].image_shape
    return replace(dataset, splits=splits, image_shape=shape)


def viewed_shape(
    image_shape: Shape, *, keep_pixels: float = 1.0, keep: str = "grid", **_: object
) -> Shape:
    """Returns the shape that `view` gives to images of `image_shape`."""
    check(keep_pixels, keep)
    *space, channels = image_shape
    return (*(kept_size(size, keep_pixels, keep) for size in space), channels)


def check(keep_pixels: float, keep: str) -> None:
    """Raises `UserError` unless `keep_pixels` and `keep` have valid values."""
    ranges.check("data.keep_pixels", keep_pixels, Share)
    if keep not in KEEP:
        raise unknown("data.keep", keep, KEEP)


def kept_size(size: int, keep_pixels: float, keep: str) -> int:
    """Returns how many of `size` pixels on a side `subsample` keeps."""
    if keep == "random":
        return size
    return max(round(size * keep_pixels**0.5), 1)


def subsample(images: Images, keep_pixels: float, keep: str) -> np.ndarray:
    """Returns a share of the pixels, the same ones in every image.

    "grid" keeps equally spaced rows and columns, as a stride does, and makes the image
    smaller. "random" draws the pixels once for all images and makes all other pixels
    black; the image keeps its size.

    Raises `UserError` as `check` does.
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
    """Returns the images, each moved vertically and horizontally by up to `most`
    pixels.

    The shift depends on the image's index alone and is never zero. Pixels from outside
    of the image are black.
    """
    moved = np.zeros_like(images)
    height, width = images.shape[1:3]
    if not 0 < most < min(height, width):
        raise UserError(
            f"data.test_shift is {most}; images of {height}x{width} pixels can be "
            f"moved by 1 to {min(height, width) - 1}."
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
