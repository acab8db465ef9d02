"""Config keys that several data sources share: how many examples are used."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from cnn_jax.core.ranges import Examples, Seed, Share
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
        less than 2 GiB. Otherwise pictures are read during training, and some sources
        crop them at random.
    """

    in_memory: bool | None = None

    cheap: ClassVar[Mapping[str, Any]] = {"in_memory": False}


ALL = Subset()
STORED = Stored()


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
