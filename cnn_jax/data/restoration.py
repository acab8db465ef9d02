"""Pictures made worse, beside what they were: what sources of them share."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data import colors, digits, images
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.folder import existing
from cnn_jax.data.labels.picture import PICTURE
from cnn_jax.data.splits import Patches, Varied
from cnn_jax.data.walk import below, check_apart

Picture = np.ndarray  # uint8 [height, width, channels]
TEST_SHARE = 10  # one picture in so many is for the test, where no folder is


def as_read(pixels: np.ndarray, channels: int) -> Picture:
    """A picture, gray [height, width] or RGB, as a network of so many channels sees it:
    its luma, or three colors."""
    if pixels.ndim == 2:
        return pixels[..., None].repeat(channels, -1)
    return pixels if channels == 3 else colors.luma(pixels)[..., None]


def pictures(
    dir: str,
    test_dir: str,
    channels: int,
    train_examples: int | None,
    test_examples: int | None,
) -> tuple[list[Picture], list[Picture]]:
    """Returns the first pictures to learn from and to test on, or as many digits.

    Raises:
      UserError: as `split`, and for a `test_dir` without a `dir`.
    """
    if not dir and test_dir:
        raise UserError("data.test_dir is set, and data.dir is not: set both.")
    counts = train_examples, test_examples
    if dir:
        train, test = (
            [as_read(np.asarray(images.read_image(f)), channels) for f in part[:count]]
            for part, count in zip(split(dir, test_dir), counts, strict=True)
        )
    else:
        train, test = (
            [gray[..., None].repeat(channels, -1) for gray in pool.images[:count]]
            for pool, count in zip(digits.pools().values(), counts, strict=True)
        )
    return train, test


def split(dir: str, test_dir: str) -> tuple[list[Path], list[Path]]:
    """The pictures to learn from and those to test on: those of `test_dir`, or every
    tenth one of `dir`, or at least its last.

    Raises:
      UserError: a folder without pictures, or with one alone that must be two, or a
        picture that is in both folders.
    """
    files = _files(dir, "dir")
    if test_dir:
        tested = _files(test_dir, "test_dir")
        check_apart(files, tested, named_twice=Path(dir) == Path(test_dir))
        return files, tested
    if len(files) < 2:
        raise UserError(f"data.dir {dir} holds one picture: none is left to test.")
    rest = files[TEST_SHARE - 1 :: TEST_SHARE] or files[-1:]
    chosen = set(rest)
    return [file for file in files if file not in chosen], rest


def _files(dir: str, option: str) -> list[Path]:
    root = existing(dir, option)
    files = below(root)
    if not files:
        raise UserError(f"data.{option} {root} holds no pictures.")
    return files


def patches(
    pairs: Sequence[tuple[Picture, Picture]],
    size: int,
    each: int,
    make: Callable[..., Patches],
) -> Patches:
    """Returns patches of pairs (image, target), as `make` makes them.

    Raises:
      UserError: a picture is smaller than a patch.
    """
    least = min(min(image.shape[:2]) for image, _ in pairs)
    if least < size:
        raise UserError(
            f"data.image_size is {size}, and a picture to train on has {least} pixels "
            "on a side: take a smaller one."
        )
    small, large = zip(*pairs, strict=True)
    return make(images=small, labels=large, size=size, each=each)


def dataset(train: Patches, test: Sequence[tuple[Picture, Picture]]) -> Dataset:
    """Returns the data set of patches to learn from and whole pairs to test on."""
    channels = train.image_shape[-1]
    worse, pictures = zip(*test, strict=True)
    return Dataset(
        splits={"train": train, "test": Varied(worse, pictures)},
        classes=(),
        image_shape=train.image_shape,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        label_shape=train.label_shape,
        label_kind=PICTURE.name,
    )
