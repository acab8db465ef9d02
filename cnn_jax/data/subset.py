"""Config keys that several data sources share: which examples, and how much of each."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Examples, Number, Seed, Share
from cnn_jax.data import images
from cnn_jax.data.roles import UNDIVIDED, Roles, stratified
from cnn_jax.data.splits import AnySplit

SomeSplit = TypeVar("SomeSplit", bound=AnySplit)

FEW = {"train_examples": 1, "test_examples": 1, **UNDIVIDED}


@dataclass(frozen=True, kw_only=True)
class Subset(Roles):
    """How many examples of each split are used, and which ones.

    The validation examples are taken first, so they do not depend on `train_examples`.

    Attributes:
      train_examples, val_examples, test_examples: the number of examples that are used
        (2000), or the share of all examples of the split (a decimal number up to 1.0);
        None: all examples. The classes keep their proportions.
      subset_seed: another seed selects other training examples.
      cheap: the values of config keys with which a data set is loaded if only its
        description is needed.
    """

    train_examples: Examples | Share | None = None
    val_examples: Examples | Share | None = None
    test_examples: Examples | Share | None = None
    subset_seed: Seed = 0

    cheap: ClassVar[Mapping[str, Any]] = FEW

    def of(
        self,
        splits: Mapping[str, SomeSplit],
        groups: Sequence[Hashable] | None = None,
    ) -> dict[str, SomeSplit]:
        """Returns the splits of `Roles.of`, reduced to the examples that are used."""
        parts = super().of(splits, groups)
        parts["train"] = keep(parts["train"], self.train_examples, self.subset_seed)
        parts["test"] = keep(parts["test"], self.test_examples)
        if "val" in parts:
            parts["val"] = keep(parts["val"], self.val_examples)
        return parts


@dataclass(frozen=True, kw_only=True)
class Stored(Subset):
    """The config keys that all data sets on the disk share.

    Attributes:
      in_memory: whether all decoded pictures are held in memory; None: if they need
        less than 2 GiB. Otherwise pictures are read during training. The results are
        the same.
    """

    in_memory: bool | None = None

    cheap: ClassVar[Mapping[str, Any]] = {"in_memory": False}


@dataclass(frozen=True, kw_only=True)
class Crops(Subset):
    """The config keys that choose the part of a picture that is resized.

    Attributes:
      random_crop: (least, most), the share of a picture's area that a random box
        covers. Training crops each stored picture to such a box, and resizes the box.
        None: training takes the same box as evaluation.
      eval_crop: the fraction of each side of the largest centered box that evaluation
        takes; 0.875 is common for photos if training takes random boxes.
      interpolation: the filter that resizes pictures: bilinear, bicubic or lanczos.
    """

    random_crop: tuple[Share, ...] | None = None
    eval_crop: Share = 1.0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        super().__post_init__()
        area = self.random_crop
        if area is not None and not (len(area) == 2 and area[0] <= area[1]):
            raise UserError(
                f"config.data.random_crop={area} must be two shares of a picture's "
                "area, (least, most), such as (0.08, 1.0), or None."
            )
        if self.interpolation not in images.INTERPOLATIONS:
            known = images.INTERPOLATIONS
            raise unknown("config.data.interpolation", self.interpolation, known)

    def transform(self) -> dict[str, Any]:
        """Returns the arguments of `Records` that these keys choose."""
        return {
            "crop": self.eval_crop,
            "crop_area": self.random_crop,
            "interpolation": self.interpolation,
        }


@dataclass(frozen=True, kw_only=True)
class Pictures(Crops, Stored):
    """The config keys that data sets of pictures on the disk share.

    With `random_crop`, the training pictures stay on the disk: they are read and
    decoded in each epoch, whatever `in_memory` is.
    """


@dataclass(frozen=True, kw_only=True)
class Ranged(Subset):
    """The config key of pictures whose values may have any type.

    Attributes:
      value_range: (black, white), the values in the files that are black and white,
        such as (0.0, 65535.0). Images are then float32 and keep all bits. It is needed
        for pictures with floating-point numbers or with more than 8 bits; other
        pictures can have it. None: 8 bits are kept.
    """

    value_range: tuple[Number, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = self.value_range
        if ends is not None and not (len(ends) == 2 and ends[0] < ends[1]):
            raise UserError(
                f"config.data.value_range={ends} must be two numbers, the smaller "
                "first, such as (0.0, 65535.0), or None."
            )


@dataclass(frozen=True, kw_only=True)
class RangedStored(Ranged, Stored):
    """The keys of `Ranged` and `Stored`."""


@dataclass(frozen=True, kw_only=True)
class RangedPictures(Ranged, Pictures):
    """The keys of `Ranged` and `Pictures`."""

    def transform(self) -> dict[str, Any]:
        return super().transform() | {"value_range": self.value_range}


ALL = Subset()
STORED = Stored()
RANGED_STORED = RangedStored()
PICTURES = Pictures()
RANGED_PICTURES = RangedPictures()


def keep(split: SomeSplit, count: int | float | None, seed: int = 0) -> SomeSplit:
    """Returns a split with only some of its examples, selected at random.

    All examples are put in a random order, and the first `count` examples are kept. In
    every beginning of this order, the classes have the same proportions as in the whole
    split. So a smaller selection is part of a larger one, and balanced sets stay
    balanced. The proportions may change if the labels are not one class per image, or
    are unknown before the data are read.

    Args:
      split: the whole split.
      count: the number of examples (int), or their share of all examples (float), which
        is rounded to at least one example; None: all examples.
      seed: the seed of the random order.
    """
    if count is None:
        return split
    if isinstance(count, float):
        count = max(1, round(count * len(split)))
    order = np.random.default_rng(seed).permutation(len(split))
    labels = split.known_labels()
    if labels is not None:
        order = stratified(order, labels)
    return split.subset(order[:count])
