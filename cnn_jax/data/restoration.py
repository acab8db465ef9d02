"""Pairs of a degraded picture and its original: code that several sources share.

The sources are `denoising` and `super_resolution`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Examples
from cnn_jax.data import colors, digits, images
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.folder import existing
from cnn_jax.data.labels.picture import PICTURE
from cnn_jax.data.roles import Roles
from cnn_jax.data.splits import Patches, Varied
from cnn_jax.data.subset import FEW
from cnn_jax.data.walk import below, check_apart

T = TypeVar("T")
Picture = np.ndarray  # uint8 [height, width, channels]
TEST_SHARE = 10  # one in ten pictures is a test picture if there is no test_dir


@dataclass(frozen=True, kw_only=True)
class First(Roles):
    """How many pictures of each split are used.

    Attributes:
      train_examples, val_examples, test_examples: the number of pictures that are used,
        counted from the first one; None: all pictures.
    """

    train_examples: Examples | None = None
    val_examples: Examples | None = None
    test_examples: Examples | None = None

    cheap: ClassVar[Mapping[str, Any]] = FEW

    def parts(self, train: list[T], test: list[T]) -> dict[str, list[T]]:
        """Returns the pictures of "train", "val" (if there is one) and "test".

        Args:
          train, test: all pictures.
        """
        kept, chosen = self.divide(len(train))
        parts = {"train": [train[i] for i in kept][: self.train_examples]}
        if len(chosen):
            parts["val"] = [train[i] for i in chosen][: self.val_examples]
        return parts | {"test": test[: self.test_examples]}


ALL = First()


def as_read(pixels: np.ndarray, channels: int) -> Picture:
    """Returns a picture with the given number of channels, 1 or 3.

    The single channel of an RGB picture is its luma. A gray picture is repeated in all
    channels.

    Args:
      pixels: a gray picture [height, width], or an RGB picture [height, width, 3].
    """
    if pixels.ndim == 2:
        return pixels[..., None].repeat(channels, -1)
    return pixels if channels == 3 else colors.luma(pixels)[..., None]


def pictures(
    dir: str,
    test_dir: str,
    channels: int,
    subset: First,
) -> dict[str, list[Picture]]:
    """Returns the pictures of each split.

    Args:
      dir: a folder of pictures; empty: the handwritten digits.
      test_dir: a folder of test pictures; empty: see `split`.
      channels: 1 for luma, 3 for RGB.
      subset: how many pictures are used, and which ones are for validation.

    Raises:
      UserError: see `split`; also if `test_dir` is set without `dir`.
    """
    if not dir and test_dir:
        raise UserError(
            "data.test_dir is set, but data.dir is not set: set data.dir to a folder "
            "of pictures to train on."
        )
    if dir:
        return {
            role: [as_read(np.asarray(images.read_image(f)), channels) for f in part]
            for role, part in subset.parts(*split(dir, test_dir)).items()
        }
    grays = [list(pool.images) for pool in digits.pools().values()]
    return {
        role: [gray[..., None].repeat(channels, -1) for gray in part]
        for role, part in subset.parts(*grays).items()
    }


def split(dir: str, test_dir: str) -> tuple[list[Path], list[Path]]:
    """Returns the files of the training pictures and of the test pictures.

    Args:
      dir: the folder of the training pictures.
      test_dir: the folder of the test pictures. Empty: every tenth picture of `dir` is
        a test picture and not a training picture. If `dir` has fewer than ten pictures,
        its last picture is the only test picture.

    Raises:
      UserError: a folder has no pictures; `dir` has only one picture and there is no
        `test_dir`; or a picture is in both folders.
    """
    files = _files(dir, "dir")
    if test_dir:
        tested = _files(test_dir, "test_dir")
        named = {"train": str(Path(dir)), "test": str(Path(test_dir))}
        check_apart({"train": files, "test": tested}, named)
        return files, tested
    if len(files) < 2:
        raise UserError(
            f"data.dir is {dir}, which holds only one picture, so no picture is left "
            "to test on: add pictures, or set data.test_dir."
        )
    rest = files[TEST_SHARE - 1 :: TEST_SHARE] or files[-1:]
    chosen = set(rest)
    return [file for file in files if file not in chosen], rest


def _files(dir: str, option: str) -> list[Path]:
    root = existing(dir, option)
    files = below(root)
    if not files:
        raise UserError(
            f"data.{option} is {root}, which holds no pictures: add pictures, or set "
            f"data.{option} to another folder."
        )
    return files


def patches(
    pairs: Sequence[tuple[Picture, Picture]],
    size: int,
    each: int,
    make: Callable[..., Patches],
) -> Patches:
    """Returns a split of random patches, for training.

    Args:
      pairs: pairs of a picture and its target. The picture is the input of the network,
        and the target is its label.
      size: the side of a patch, in pixels of the input picture.
      each: the number of patches of each picture in an epoch.
      make: the function that makes the split: `Patches`, or a function with the same
        arguments.

    Raises:
      UserError: a picture is smaller than a patch.
    """
    least = min(min(image.shape[:2]) for image, _ in pairs)
    if least < size:
        raise UserError(
            f"data.image_size is {size}, but a training picture has only {least} "
            f"pixels on a side: set data.image_size to at most {least}."
        )
    small, large = zip(*pairs, strict=True)
    return make(images=small, labels=large, size=size, each=each)


def dataset(
    train: Patches, evaluated: Mapping[str, Sequence[tuple[Picture, Picture]]]
) -> Dataset:
    """Returns the data set of training patches and whole pictures for evaluation.

    Args:
      train: the split of training patches.
      evaluated: pairs of an input picture and its target, for each other split.
    """
    channels = train.image_shape[-1]
    whole = {
        role: Varied(*zip(*pairs, strict=True)) for role, pairs in evaluated.items()
    }
    return Dataset(
        splits={"train": train, **whole},
        classes=(),
        image_shape=train.image_shape,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        label_shape=train.label_shape,
        label_kind=PICTURE.name,
    )
