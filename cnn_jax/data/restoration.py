"""Pictures made worse, beside what they were: small ones, and noisy ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Count, Examples, Range, Side
from cnn_jax.data import bicubic, colors, digits, images
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.folder import existing
from cnn_jax.data.labels.picture import PICTURE
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Patches, Varied
from cnn_jax.data.subset import FEW
from cnn_jax.data.walk import below, check_apart

Picture = np.ndarray  # uint8 [height, width, channels]
TEST_SHARE = 10  # one picture in so many is for the test, where no folder is


def super_resolution(
    *,
    dir: Place = "",
    test_dir: Place = "",
    scale: Annotated[int, Range(least=2, most=1024)] = 2,
    channels: Channels = 1,
    image_size: Side = 24,
    patches: Count = 16,
    train_examples: Examples | None = None,
    test_examples: Examples | None = None,
) -> Dataset:
    """Pictures made smaller, by MATLAB's bicubic `imresize` as in the literature.

    Args:
      dir: a folder of pictures to learn from; empty: the 8x8 digits.
      test_dir: a folder of pictures to test on; empty: every tenth one of `dir`.
      scale: how many times smaller. Pictures lose what it does not divide.
      channels: 1 for luma (see `colors.luma`), 3 for RGB.
      image_size: side of the patches to train on, in pixels of the small picture;
        of the digits, whole ones are taken.
      patches: that each picture gives an epoch, at random places.
      train_examples, test_examples: use only so many pictures, the first ones.

    Raises:
      UserError: a folder without pictures, or one that is too small for a patch.
    """
    images.check_shape(image_size, channels)

    def pair(picture: Picture) -> tuple[Picture, Picture]:
        least = min(picture.shape[:2])
        if least < scale:
            raise UserError(
                f"data.scale is {scale}, and a picture has {least} pixels on a side: "
                "take a smaller one."
            )
        height, width = (side // scale * scale for side in picture.shape[:2])
        picture = picture[:height, :width]
        return bicubic.resize(picture, 1 / scale), picture

    if not dir:  # a picture is a patch
        image_size, patches = digits.SIDE // scale, 1
    train, test = _pictures(dir, test_dir, channels, train_examples, test_examples)
    split = _patches([pair(p) for p in train], image_size, patches, Patches)
    return _dataset(split, [pair(p) for p in test])


def denoising(
    *,
    dir: Place = "",
    test_dir: Place = "",
    noise: Annotated[float, Range(above=0, most=255)] = 25.0,
    channels: Channels = 1,
    image_size: Side = 40,
    patches: Count = 16,
    train_examples: Examples | None = None,
    test_examples: Examples | None = None,
) -> Dataset:
    """Pictures with Gaussian noise, rounded to 8 bits.

    That of the patches to train on is drawn anew each time; in evaluation it is always
    the same.

    Args:
      dir, test_dir, channels, patches, train_examples, test_examples: as those of
        `super_resolution`.
      noise: its standard deviation, in gray levels of 255.
      image_size: side of the patches to train on.

    Raises:
      UserError: as `super_resolution`.
    """
    images.check_shape(image_size, channels)
    if not dir:
        image_size, patches = digits.SIDE, 1
    train, test = _pictures(dir, test_dir, channels, train_examples, test_examples)

    def noisy(**given) -> NoisyPatches:
        return NoisyPatches(**given, noise=noise)

    split = _patches([(p, p) for p in train], image_size, patches, noisy)
    return _dataset(
        split,
        [
            (add_noise(picture, noise, np.random.default_rng([number])), picture)
            for number, picture in enumerate(test)
        ],
    )


SUPER_RESOLUTION = Source(
    "super_resolution", super_resolution, cheap=FEW, embedded=digits.SIDE // 2
)
DENOISING = Source("denoising", denoising, cheap=FEW, embedded=digits.SIDE)


@dataclass(frozen=True)
class NoisyPatches(Patches):
    """Patches of pictures, and the same with noise of a standard deviation."""

    noise: float = 0.0

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ):
        """As `Patches.examples`; without a generator an example's noise is its own."""
        examples = super().examples(indices, rngs)
        for index, example, rng in zip(indices, examples, rngs, strict=True):
            rng = rng or np.random.default_rng([int(index)])
            example["image"] = add_noise(example["image"], self.noise, rng)
            yield example


def add_noise(picture: Picture, noise: float, rng: np.random.Generator) -> Picture:
    """The picture with Gaussian noise, rounded and cut off at 0 and 255."""
    values = picture + rng.normal(0, noise, picture.shape)
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def as_read(pixels: np.ndarray, channels: int) -> Picture:
    """A picture, gray [height, width] or RGB, as a network of so many channels sees it:
    its luma, or three colors."""
    if pixels.ndim == 2:
        return pixels[..., None].repeat(channels, -1)
    return pixels if channels == 3 else colors.luma(pixels)[..., None]


def _pictures(
    dir: str,
    test_dir: str,
    channels: int,
    train_examples: int | None,
    test_examples: int | None,
) -> tuple[list[Picture], list[Picture]]:
    if not dir and test_dir:
        raise UserError("data.test_dir is set, and data.dir is not: set both.")
    counts = train_examples, test_examples
    if not dir:
        return tuple(
            [gray[..., None].repeat(channels, -1) for gray in pool.images[:count]]
            for count, pool in zip(counts, digits.pools().values(), strict=True)
        )
    parts = split(dir, test_dir)
    return tuple(
        [as_read(np.asarray(images.read_image(f)), channels) for f in part[:count]]
        for part, count in zip(parts, counts, strict=True)
    )


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


def _patches(
    pairs: Sequence[tuple[Picture, Picture]],
    size: int,
    each: int,
    make: Callable[..., Patches],
) -> Patches:
    least = min(min(image.shape[:2]) for image, _ in pairs)
    if least < size:
        raise UserError(
            f"data.image_size is {size}, and a picture to train on has {least} pixels "
            "on a side: take a smaller one."
        )
    small, large = zip(*pairs, strict=True)
    return make(images=small, labels=large, size=size, each=each)


def _dataset(train: Patches, test: Sequence[tuple[Picture, Picture]]) -> Dataset:
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
