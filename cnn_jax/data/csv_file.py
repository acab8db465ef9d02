"""The user's own pictures, listed with their classes in a CSV file."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Fraction, Side
from cnn_jax.data import fields, folder, walk
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.source import DIGITS, Source
from cnn_jax.data.splits import Records
from cnn_jax.data.subset import STORED, Stored

TRAIN = "train"


class Row(NamedTuple):
    """One row of the table, with one picture.

    Attributes:
      path: the path of the picture.
      label: the name of the picture's class.
      split: the name of the picture's split; empty if the table has no split column.
      where: the table and the line of the row, for errors.
    """

    path: str
    label: str
    split: str
    where: str


def load(
    stored: Stored = STORED,
    *,
    file: Place = "",
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "",
    image_size: Side = 64,
    channels: Channels = 3,
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """Returns the pictures in a CSV table, for classification.

    Args:
      stored: how many pictures are used, and whether they are held in memory. Pictures
        that stay on the disk are cropped at random in training.
      file: the table, in UTF-8, with commas between the columns and the columns' names
        in the first line.
      path_column: the column with the paths of the pictures, relative to the table's
        folder.
      label_column: the column with the classes of the pictures. Classes are sorted as
        in `folder.load`.
      split_column: the column with the split of each picture, "train" or "test" (or
        "val", "validation", "valid"). Empty: the share `test_fraction` of every class
        is for testing; the choice depends only on the file names.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for gray.
      test_fraction: the share of every class that is for testing, between 0 and 1;
        ignored if there is a split column.

    Raises:
      UserError: a picture is missing or listed twice, a field is empty, a split is
        unknown, or a class has no training pictures; the error names the line. Also if
        the table cannot be read, lacks a column, or has fewer than two classes.
    """
    check_shape(image_size, channels)
    rows = read(file, path_column, label_column, split_column)
    classes = folder.sort_classes({row.label for row in rows})
    if len(classes) < 2:
        raise UserError(
            f"{file} has only one class, '{classes[0]}'; there must be at least two."
        )
    if split_column:
        train, test = _by_column(file, rows)
    else:
        found = [(row.label, row.path) for row in rows]
        train, test = folder.divided(found, test_fraction)
    shape = (image_size, image_size, channels)
    return assemble(
        *(Records(folder.files(part, classes), shape) for part in (train, test)),
        classes=classes,
        subset=stored,
        in_memory=stored.in_memory,
        random_crop=True,
    )


SOURCE = Source("csv", load, takes=Stored, stand_in=DIGITS, perturbed=True)


def read(file: str, path: str, label: str, split: str) -> list[Row]:
    """Returns the rows of a table.

    Args:
      file: the path of the table.
      path: the name of the column with the paths of the pictures.
      label: the name of the column with the classes.
      split: the name of the column with the splits; empty if there is none.

    Raises:
      UserError: see `load`.
    """
    if not file:
        raise UserError(
            "data.file is not set: set data.file to the CSV file that lists the "
            "pictures."
        )
    columns = {"path_column": path, "label_column": label, "split_column": split}
    known: dict[tuple[int, int], str] = {}
    rows = []
    for line, values in _lines(file, {k: v for k, v in columns.items() if v}):
        where = f"{file}, line {line}"
        for column in filter(None, columns.values()):
            if not values[column]:
                raise UserError(
                    f"{where}: the column '{column}' is empty: write a value."
                )
        picture = os.path.join(os.path.dirname(file), values[path])
        if not os.path.isfile(picture):
            raise UserError(
                f"{where}: there is no picture {names.text(picture)}: correct the "
                "path, or remove the line."
            )
        first = known.setdefault(walk.identity(picture), where)
        if first is not where:
            raise UserError(
                f"{where}: {names.text(picture)} is the same file as in {first}: "
                "remove one of the lines."
            )
        rows.append(Row(picture, values[label], values.get(split, ""), where))
    if not rows:
        raise UserError(
            f"{file} lists no pictures: after the first line, write one line per "
            "picture."
        )
    return rows


def _lines(file: str, columns: dict[str, str]) -> list[tuple[int, dict[str, str]]]:
    """Returns the line number and the fields of each row, without surrounding spaces.

    The fields of a row are {column: text}.

    Args:
      file: the path of the table.
      columns: the names of the columns to read, by the config keys that state them.
    """
    try:
        text = fields.read(Path(file)).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = [name.strip() for name in reader.fieldnames or ()]
    except UnicodeDecodeError:
        raise UserError(f"{file} is not text in UTF-8: save it as UTF-8.") from None
    except csv.Error as error:
        raise UserError(f"{file}, line 1 is not valid CSV: {error}.") from None
    reader.fieldnames = header
    for option, column in columns.items():
        if header.count(column) != 1:
            count = "two columns" if column in header else "no column"
            raise UserError(
                f"{file} has {count} '{column}'; its first line names the columns "
                f"{fields.shown(header)}. Set data.{option} to the name of one column."
            )
    found = []
    try:
        for row in reader:
            values = {name: (row[name] or "").strip() for name in columns.values()}
            found.append((reader.line_num, values))
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.reader.line_num} is not valid CSV: {error}."
        ) from None
    return found


def _by_column(file: str, rows: Sequence[Row]) -> tuple[folder.Labeled, folder.Labeled]:
    """Returns the training pictures and the test pictures, according to their splits.

    Args:
      file: the path of the table, for errors.
      rows: the rows of the table, with the names of the splits.
    """
    for row in rows:
        if row.split not in (TRAIN, *folder.TEST_NAMES):
            raise UserError(
                f"{row.where}: the split is {fields.shown(row.split)}; it must be "
                f"'{TRAIN}' or '{folder.TEST_NAMES[0]}'."
            )
    given = {row.split for row in rows}
    tested = next((name for name in folder.TEST_NAMES if name in given), None)
    if tested is None or TRAIN not in given:
        raise UserError(
            f"{file}: the pictures have only the splits {', '.join(sorted(given))}; "
            f"some pictures must have the split '{TRAIN}', and some the split "
            f"'{folder.TEST_NAMES[0]}'."
        )
    trained = {row.label for row in rows if row.split == TRAIN}
    for row in rows:
        if row.split == tested and row.label not in trained:
            raise UserError(
                f"{row.where}: class '{row.label}' has no pictures to train on: add "
                f"pictures to the split '{TRAIN}', or remove the class."
            )
    train, test = (
        [(row.label, row.path) for row in rows if row.split == name]
        for name in (TRAIN, tested)
    )
    return train, test
