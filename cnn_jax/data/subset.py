"""How many examples of a set are used: the keys of all sources that hold whole sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from cnn_jax.core.ranges import Examples, Seed, Share
from cnn_jax.data.splits import AnySplit

SomeSplit = TypeVar("SomeSplit", bound=AnySplit)

FEW = {"train_examples": 1, "test_examples": 1}


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Which examples of a source's whole splits are used.

    Attributes:
      train_examples, test_examples: use only that many or, below 1, only that share of
        them (1.0: all), classes in proportion.
      subset_seed: another number takes other examples to train on.
      cheap: the values with which a source is loaded to be described.
    """

    train_examples: Examples | Share | None = None
    test_examples: Examples | Share | None = None
    subset_seed: Seed = 0

    cheap: ClassVar[Mapping[str, Any]] = FEW

    def of(self, train: SomeSplit, test: SomeSplit) -> dict[str, SomeSplit]:
        """Returns the parts of the two splits that are used; see `keep`."""
        return {
            "train": keep(train, self.train_examples, self.subset_seed),
            "test": keep(test, self.test_examples),
        }


@dataclass(frozen=True, kw_only=True)
class Stored(Subset):
    """The same for a set on the disk.

    Attributes:
      in_memory: hold all decoded pictures in memory; None: if they need less than
        2 GiB. Otherwise they are read, and of some sources cropped at random, while
        training.
    """

    in_memory: bool | None = None

    cheap: ClassVar[Mapping[str, Any]] = {"in_memory": False}


ALL = Subset()
STORED = Stored()


def keep(split: SomeSplit, count: int | float | None, seed: int = 0) -> SomeSplit:
    """Returns the first `count` examples of a random order, or all of them if None.

    In that order every prefix holds the classes in the proportions of the whole,
    so smaller selections lie inside larger ones and balanced sets stay balanced.
    (Sets are only shuffled where the labels are not known without reading them all, or
    are no classes of whole images.)

    Args:
      count: a whole number of them, or a float: a share, rounded, of one at least.
      seed: of the order.
    """
    if count is None:
        return split
    if isinstance(count, float):
        count = max(1, round(count * len(split)))
    order = np.random.default_rng(seed).permutation(len(split))
    labels = split.known_labels()
    if labels is not None:
        place = np.empty(len(order))
        for label in np.unique(labels):
            members = np.flatnonzero(labels[order] == label)
            place[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(place, kind="stable")]
    return split.subset(order[:count])
