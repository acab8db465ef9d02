"""The config keys of sources that hold whole sets: how many examples are used."""

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
    """How many examples of a source's whole splits are used, and which ones.

    Attributes:
      train_examples, test_examples: use only this number of examples or, below 1, this
        share of them (1.0: all), with the classes in proportion.
      subset_seed: another seed selects other training examples.
      cheap: the values with which a source is loaded for its description.
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
    """The keys of a set on the disk.

    Attributes:
      in_memory: hold all decoded pictures in memory; None: if they need less than 2
        GiB. Otherwise pictures are read during training, and some sources crop them at
        random.
    """

    in_memory: bool | None = None

    cheap: ClassVar[Mapping[str, Any]] = {"in_memory": False}


ALL = Subset()
STORED = Stored()


def keep(split: SomeSplit, count: int | float | None, seed: int = 0) -> SomeSplit:
    """Returns the first `count` examples of a random order, or all of them if None.

    Every prefix of the order has the classes in the same proportions as the whole
    split. So a smaller selection is part of a larger one, and balanced sets stay
    balanced. If the labels are unknown without reading the set, or are not classes of
    whole images, the order is only shuffled.

    Args:
      count: the number of examples (int), or their share (float), which is rounded to
        at least one example.
      seed: the seed of the order.
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
