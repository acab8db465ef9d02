"""The user's own pictures, listed with numbers in a CSV file, for regression."""

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Bands, Fraction, Side
from cnn_jax.data import csv_file, folder
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.labels.values import VALUES
from cnn_jax.data.source import BANDED_FILES, Source, StandIn
from cnn_jax.data.splits import Encoded, Records, Shape
from cnn_jax.data.subset import RANGED_PICTURES, RangedPictures


def load(
    stored: RangedPictures = RANGED_PICTURES,
    *,
    file: Place = "",
    path_column: str = "path",
    value_columns: tuple[str, ...] = ("value",),
    split_column: str = "",
    group_column: str = "",
    image_size: Side = 64,
    channels: Bands = 3,
    test_fraction: Fraction = 0.2,
    test_split: tuple[str, ...] = folder.TEST_SPLIT,
) -> Dataset:
    """Returns the pictures in a CSV table, for regression of one or more numbers.

    Args:
      stored: which pictures are used, where they are held, and how they are cropped.
      file: the table, in UTF-8, with commas between the columns and the columns' names
        in the first line.
      path_column: the column with the paths of the pictures, relative to the table's
        folder.
      value_columns: the columns with the numbers of the pictures.
      split_column: the column with the split of each picture, "train", "val" (or
        "validation", "valid") or "test". Empty: the share `test_fraction` of the
        pictures is for testing; the choice depends only on the file names.
      group_column: the column with the group of each picture, such as a person or a
        patient. No group is in two splits. Empty: each picture is a group.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: see `csv_file.load`.
      test_fraction: the share of the pictures that is for testing, between 0 and 1;
        ignored if there is a split column.
      test_split: the names that the test split may have in the split column; the first
        name that occurs is used.

    Raises:
      UserError: a field is no finite number, or `value_columns` is empty. See also
        `csv_file.load`.
    """
    check_shape(image_size)
    if not value_columns:
        raise UserError("config.data.value_columns is empty: name at least one column.")
    rows = csv_file.read(
        file, path_column, "", split_column, group_column, values=value_columns
    )
    parts, groups = csv_file.parts_of(
        file, rows, stored, test_fraction=test_fraction, test_split=test_split
    )
    shape, transform = (image_size, image_size, channels), stored.transform()
    splits = stored.of(
        {
            role: ValuedRecords(_files(part), shape, **transform)
            for role, part in parts.items()
        },
        groups,
    )
    dataset = assemble(
        splits,
        classes=value_columns,
        in_memory=stored.in_memory,
        label_kind=VALUES.name,
        root=os.path.dirname(file),
    )
    known = VALUES.statistics(splits["train"].values(), len(value_columns))
    return dataclasses.replace(dataset, known_statistics=known)


SOURCE = Source(
    "csv_values",
    load,
    takes=RangedPictures,
    stand_in=StandIn("rotated_digits"),
    files=BANDED_FILES,
    perturbed=True,
)


@dataclass(frozen=True)
class ValuedFiles:
    """A reader of pictures with numbers.

    Attributes:
      paths: the paths of the pictures.
      targets: the numbers of each picture, float32 [n, values].
    """

    paths: Sequence[str]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def labels(self) -> None:
        return None

    def joined(self, other: "ValuedFiles") -> "ValuedFiles":
        targets = np.concatenate([self.targets, other.targets])
        return ValuedFiles([*self.paths, *other.paths], targets)

    def read(self, indices: Sequence[int]) -> Iterator[Encoded]:
        for i in indices:
            yield Encoded(self.paths[i], self.targets[i], self.paths[i])


@dataclass(frozen=True)
class ValuedRecords(Records):
    """A split of pictures with numbers on the disk; see `Records`."""

    reader: ValuedFiles

    label_type: ClassVar[np.dtype] = VALUES.dtype

    @property
    def label_shape(self) -> Shape:
        return self.reader.targets.shape[1:]

    def values(self) -> np.ndarray:
        """Returns the numbers of all pictures, float32 [n, values]."""
        targets = self.reader.targets
        return targets if self.indices is None else targets[self.indices]


def _files(rows: Sequence[csv_file.Row]) -> ValuedFiles:
    values = [[_number(text, row.where) for text in row.values] for row in rows]
    return ValuedFiles([row.path for row in rows], np.array(values, np.float32))


def _number(text: str, where: str) -> float:
    """Returns the number in a field of the table.

    Raises:
      UserError: the text is no number, or not finite as a float32.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= np.finfo(np.float32).max:
        raise UserError(f"{where}: '{text}' is no finite number: write a number.")
    return value
