"""The config keys of the validation split, and the division into three roles.

Training fits on `train`. Every choice (a checkpoint, when to stop, a hyperparameter, a
threshold) is made on `val`. `test` is read to report, never to choose.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Index, Rate, Seed
from cnn_jax.data.splits import AnySplit

SomeSplit = TypeVar("SomeSplit", bound=AnySplit)
Same = TypeVar("Same", bound="Roles")

# The values of the keys with which all training examples stay in the training split.
UNDIVIDED: Mapping[str, Any] = {"val": 0, "fold": None}


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which examples form the validation split.

    The choice is a pure function of the data and of these keys. It does not depend on
    whether the examples are held in memory.

    Attributes:
      val: the number of validation examples (500), their share of the training examples
        (0.1), or the name of a split of the data set ("validation"). Examples are taken
        from the training split, and the classes keep their proportions. None: the data
        set's own validation split, if there is one. 0: no validation split.
      val_seed: another seed takes other examples.
      fold: one fold of a cross-validation, such as "2/5". The training split and the
        data set's own validation split are divided into five folds; the second fold
        becomes the validation split, and the other folds the training split.
    """

    val: Index | Rate | str | None = None
    val_seed: Seed = 0
    fold: str | None = None

    cheap: ClassVar[Mapping[str, Any]] = UNDIVIDED

    def __post_init__(self) -> None:
        self._fold()
        if self.fold is not None and not (self.val is None or self.named()):
            raise UserError(
                f"config.data.fold={self.fold} and config.data.val={self.val} both "
                "choose the validation examples: set one of them."
            )

    def named(self) -> str | None:
        """Returns the name of a split, if `val` is a name; otherwise None."""
        return self.val if isinstance(self.val, str) else None

    def own(self, default: str | None) -> str | None:
        """Returns the name of the data set's own split that becomes `val`, or None.

        Args:
          default: the name of the data set's own validation split; None: it has none.
        """
        return default if self.val is None else self.named()

    def of(
        self,
        splits: Mapping[str, SomeSplit],
        groups: Sequence[Hashable] | None = None,
    ) -> dict[str, SomeSplit]:
        """Returns the splits "train", "val" (if there is one) and "test".

        Args:
          splits: the whole splits "train" and "test" of the data set and, if the data
            set has the split that `own` names, "val".
          groups: the group (person, patient, scene, ...) of each example in "train",
            then in "val". No group is in two splits. None: each example is a group.

        Raises:
          UserError: `val` is a name, and the data set has no such split; or too few
            examples (or groups) are left for training.
        """
        train, test, val = splits["train"], splits["test"], splits.get("val")
        if self.named() and val is None:
            raise UserError(
                f"config.data.val='{self.val}' names a split, and this data set has "
                "no splits with names: set it to a number of examples or to a share."
            )
        if val is not None and self.fold is None:
            return {"train": train, "val": val, "test": test}
        pool = train if val is None else train.joined(val)
        kept, chosen = self.divide(len(pool), pool.known_labels(), groups)
        if not len(chosen):
            return {"train": train, "test": test}
        return {"train": pool.subset(kept), "val": pool.subset(chosen), "test": test}

    def divide(
        self,
        count: int,
        labels: np.ndarray | None = None,
        groups: Sequence[Hashable] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of the training examples and of the validation examples.

        Args:
          count: the number of examples.
          labels: the class of each example; the classes keep their proportions. None:
            the classes are unknown.
          groups: the group of each example; see `of`. A group counts as a member of its
            most frequent class.

        Raises:
          UserError: no example is left for training, or there are fewer groups than
            folds.
        """
        part = self._part(count)
        if part is None:
            return np.arange(count), np.arange(0)
        of_group, kind = np.arange(count), "examples"
        if groups is not None:
            _, of_group = np.unique(np.asarray(groups), return_inverse=True)
            labels, kind = _labels_of(of_group, labels), "groups"
        sizes = np.bincount(of_group)
        order = _order(labels, len(sizes), self.val_seed)
        # A group belongs to the fold that holds the middle of its examples.
        middles = np.cumsum(sizes[order]) - sizes[order] / 2
        first, last = part
        is_val = np.isin(of_group, order[(first <= middles) & (middles < last)])
        fold = self._fold()
        if is_val.all() or not is_val.any() or (fold and fold[1] > len(sizes)):
            raise UserError(
                f"{self._key()} leaves the training or the validation split empty, "
                f"because there are only {len(sizes):,} {kind}: set another number, "
                "share or fold."
            )
        return np.flatnonzero(~is_val), np.flatnonzero(is_val)

    def settled(self: Same) -> Same:
        """Returns the keys for data that already have their validation split."""
        return replace(self, val=None, fold=None)

    def scaled(self, count: int, to: int) -> "Roles":
        """Returns the roles that divide `to` examples in the proportions of `count`."""
        part = self._part(count)
        if self.fold is not None or part is None:
            return self
        return replace(self, val=max(1, round((part[1] - part[0]) / count * to)))

    def _key(self) -> str:
        if self.fold is not None:
            return f"config.data.fold={self.fold}"
        return f"config.data.val={self.val}"

    def _fold(self) -> tuple[int, int] | None:
        """Returns (number of the fold from 0, number of folds), or None."""
        if self.fold is None:
            return None
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.fold)
        if not found or not 1 <= int(found[1]) <= int(found[2]) or int(found[2]) < 2:
            raise UserError(
                f"config.data.fold={self.fold} must be NUMBER/FOLDS, such as 2/5 for "
                "the second of five folds."
            )
        return int(found[1]) - 1, int(found[2])

    def _part(self, count: int) -> tuple[float, float] | None:
        """Returns the validation split's place in the order of `count` examples.

        The result is (first, last) in examples from the start of the order; None if
        there is no validation split.
        """
        if fold := self._fold():
            number, folds = fold
            return number * count / folds, (number + 1) * count / folds
        if not self.val or isinstance(self.val, str):
            return None
        size = self.val
        if isinstance(size, float):
            size = max(1, round(size * count))
        if size >= count:
            raise UserError(
                f"{self._key()} takes all of the {count:,} training examples: set it "
                "lower."
            )
        return 0.0, float(size)


WHOLE = Roles()


def _labels_of(groups: np.ndarray, labels: np.ndarray | None) -> np.ndarray | None:
    """Returns the most frequent class of each group; None if classes are unknown.

    Args:
      groups: the number of each example's group.
      labels: the class of each example.
    """
    if labels is None or not len(labels):
        return None
    table = np.zeros((groups.max() + 1, int(labels.max()) + 2), np.int64)
    np.add.at(table, (groups, labels + 1), 1)  # an example without a class has -1
    return table.argmax(axis=1)


def _order(labels: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """Returns a random order of `count` groups; see `stratified`."""
    order = np.random.default_rng([seed, 1]).permutation(count)
    return order if labels is None else stratified(order, labels)


def stratified(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns an order in which every part has the classes in nearly equal proportions.

    Args:
      order: an order of all examples, which decides among examples of one class.
      labels: the class of each example.
    """
    _, kinds, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(kinds, kind="stable")
    ranks = np.empty(len(order))  # of each example among those of its class
    ranks[by_class] = np.arange(len(order)) - np.repeat(
        counts.cumsum() - counts, counts
    )
    return order[np.argsort((ranks + 0.5) / counts[kinds], kind="stable")]
