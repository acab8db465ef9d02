"""Decides which entries of a weights file a network takes.

An entry is one array of the file: a parameter or a statistic. The network leaves out
entries of heads that differ from its own heads, and takes all other entries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from cnn_jax import models
from cnn_jax.models.network import described, is_head
from cnn_jax.weights import torch_weights
from cnn_jax.weights.torch_weights import Entry

Shapes = Mapping[str, tuple[int, ...]]


class Keys:
    """The names of a network's entries in a file, and the head of each entry.

    Each entry of the file belongs to the part "head", to an auxiliary head, whose name
    is the name of the part, or to the rest of the network: the part None.

    Args:
      ours: True if the file contains this package's variables, False if its entries
        have torchvision's names and layouts.
      model: the network.
      auxiliary: the auxiliary heads: torchvision's name for each name in this package.
      entries: all entries that the file may have.
    """

    def __init__(
        self,
        ours: bool,
        model: nn.Module,
        auxiliary: Mapping[str, str],
        entries: Sequence[Entry],
    ):
        self._ours, self.model, self._auxiliary = ours, model, auxiliary
        self._class_layer = described(model).class_layer
        self._classes_at = -1 if ours else 0
        self.last = {self.of(e) for e in entries if self._is_last(e.path)}
        self._head = {self.of(e) for e in entries if self._in_head(e.path)}

    def of(self, entry: Entry) -> str:
        """Returns the entry's name in the file."""
        return entry.key if self._ours else entry.name

    def shape_of(self, entry: Entry) -> tuple[int, ...]:
        """Returns the entry's shape in the file."""
        return entry.shape if self._ours else entry.torch_shape

    def value_of(self, entry: Entry, stored: np.ndarray) -> np.ndarray:
        """Returns the value of an entry in the network's layout, as float32.

        Args:
          entry: the entry.
          stored: the value of the entry in the file.

        Raises:
          UserError: the stored value has no floating-point numbers.
        """
        value = torch_weights.as_float32(self.of(entry), stored)
        return value if self._ours else entry.from_torch(value)

    def _is_last(self, path: Sequence[str]) -> bool:
        """Returns whether an entry belongs to the layer that outputs the classes."""
        return tuple(path[1 : 1 + len(self._class_layer)]) == self._class_layer

    def _in_head(self, path: Sequence[str]) -> bool:
        return is_head(self.model, path[1]) or self._is_last(path)

    def part(self, key: str) -> str | None:
        """Returns the part of the network to which an entry of the file belongs.

        Args:
          key: the name of the entry in the file.

        Returns:
          "head", the name of an auxiliary head, or None for all other entries.
        """
        if self._ours:
            path = tuple(key.split("/"))
            if self._in_head(path):
                return "head"
            return path[1] if path[1] in self._auxiliary else None
        if key in self._head:
            return "head"
        names = self._auxiliary.items()
        return next((m for m, theirs in names if key.startswith(f"{theirs}.")), None)

    def parts(self, keys: Iterable[str]) -> set[str]:
        """Returns the heads to which entries of the file belong.

        Args:
          keys: the names of the entries in the file.

        Returns:
          A set of "head" and the names of auxiliary heads.
        """
        return {part for key in keys if (part := self.part(key))}

    def heads_alike(self, entries: Sequence[Entry], found: Shapes) -> bool:
        """Returns whether the file's and the network's head have the same layers.

        The heads may differ in the number of classes.

        Args:
          entries: the entries of the network.
          found: the shapes of the file's entries by name.
        """
        ours = {self.of(e): self.shape_of(e) for e in entries if self._in_head(e.path)}
        theirs = {
            key: shape for key, shape in found.items() if self.part(key) == "head"
        }

        def without_classes(key: str, shape: tuple[int, ...]) -> list[int]:
            sizes = list(shape)
            if key in self.last:
                del sizes[self._classes_at]
            return sizes

        return ours.keys() == theirs.keys() and all(
            without_classes(key, ours[key]) == without_classes(key, theirs[key])
            for key in ours
        )

    def other_classes(
        self,
        entries: Sequence[Entry],
        found: Shapes,
        theirs: Sequence[str] | None,
        ours: Sequence[str] | None,
    ) -> str | None:
        """Returns in words how the classes of the file and of the network differ.

        The result is None if the classes do not differ, or if the file does not contain
        the layer that outputs the classes.

        Args:
          entries: the entries of the network.
          found: the shapes of the file's entries by name.
          theirs: the names of the file's classes; None if unknown.
          ours: the names of the network's classes; None if unknown.
        """
        kernels = (
            e for e in entries if self._is_last(e.path) and e.path[-1] == "kernel"
        )
        kernel = next(kernels, None)
        shape = found.get(self.of(kernel)) if kernel else None
        if kernel is None or not shape:
            return None
        count, ours_count = shape[self._classes_at], kernel.shape[-1]
        if count != ours_count:
            return f"{count} classes in the file, {ours_count} here"
        if ours and theirs and list(ours) != list(theirs):
            return "the file's classes are not the network's"
        return None


@dataclass(frozen=True)
class LeftOut:
    """The entries of a file that a network does not take.

    Attributes:
      keys: the names of the network's entries in the file.
      parts: the heads whose entries are all left out: "head" or names of auxiliary
        heads.
      entries: the names of further entries of the file that are left out.
      reasons: the reasons in words, for a report.
    """

    keys: Keys
    parts: set[str]
    entries: set[str]
    reasons: list[str]

    def has(self, key: str) -> bool:
        """Returns whether the entry of the file with the name `key` is left out."""
        return self.keys.part(key) in self.parts or key in self.entries


def left_out(
    keys: Keys,
    entries: Sequence[Entry],
    found: Shapes,
    same_head: bool,
    others: str | None,
) -> LeftOut:
    """Returns which entries of a file the network does not take.

    Args:
      keys: the names of the network's entries in the file.
      entries: the entries of the network.
      found: the shapes of the file's entries by name.
      same_head: whether the file's and the network's head have the same layers, apart
        from the number of classes.
      others: in words, how the classes of the file and of the network differ; None if
        the classes do not differ.
    """
    in_file, in_model = keys.parts(found), keys.parts(map(keys.of, entries))
    parts: set[str] = set()
    single: set[str] = set()
    reasons = []
    if "head" not in in_file:
        parts.add("head")
        if "head" in in_model:
            reasons.append("the head, which is not in the file")
    elif not same_head:
        parts.add("head")
        model = keys.model
        here = f"head={model.head}" if models.has_map(model) else "of another size"
        reasons.append(f"the head, which is {here} here")
    elif others:
        # Auxiliary heads have the same classes as the head.
        parts |= (in_file | in_model) - {"head"}
        single = keys.last
        reasons.append(f"{_names({'head'} | in_model)}: {others}")
    if only := (in_file ^ in_model) - {"head"}:
        parts |= only
        place = "the network" if only & in_file else "the file"
        reasons.append(f"{_names(only)}: not in {place}")
    return LeftOut(keys, parts, single, reasons)


def _names(modules: set[str]) -> str:
    return ", ".join(sorted(modules, key=lambda module: (module != "head", module)))
