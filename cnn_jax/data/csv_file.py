"""The user's own pictures, listed with their classes in a CSV file."""

import csv
import io
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Bands, Fraction, Side
from cnn_jax.data import fields, folder, walk
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import BANDED_FILES, DIGITS, Source
from cnn_jax.data.splits import ROLES, Records
from cnn_jax.data.subset import RANGED_PICTURES, RangedPictures


class Row(NamedTuple):
    """One row of the table, with one picture.

    Attributes:
      path: the path of the picture.
      label: the name of the picture's class; empty if the table has no classes.
      split: the name of the picture's split; empty if the table has no split column.
      group: the name of the picture's group; empty if the table has no group column.
      where: the table and the line of the row, for errors.
      values: the texts of the columns with numbers.
    """

    path: str
    label: str
    split: str
    group: str
    where: str
    values: tuple[str, ...] = ()


def load(
    stored: RangedPictures = RANGED_PICTURES,
    *,
    file: Place = "",
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "",
    group_column: str = "",
    image_size: Side = 64,
    channels: Bands = 3,
    test_fraction: Fraction = 0.2,
    test_split: tuple[str, ...] = folder.TEST_SPLIT,
) -> Dataset:
    """Returns the pictures in a CSV table, for classification.

    Args:
      stored: which pictures are used, where they are held, and how they are cropped.
      file: the table, in UTF-8, with commas between the columns and the columns' names
        in the first line.
      path_column: the column with the paths of the pictures, relative to the table's
        folder.
      label_column: the column with the classes of the pictures. Classes are sorted as
        in `folder.load`.
      split_column: the column with the split of each picture, "train", "val" (or
        "validation", "valid") or "test". Empty: the share `test_fraction` of every
        class is for testing; the choice depends only on the file names.
      group_column: the column with the group of each picture, such as a person or a
        patient. No group is in two splits. Empty: each picture is a group.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for gray; other numbers as in `bands`.
      test_fraction: the share of every class that is for testing, between 0 and 1;
        ignored if there is a split column.
      test_split: the names that the test split may have in the split column; the first
        name that occurs is used.

    Raises:
      UserError: a picture is missing or listed twice, a field is empty, a split is
        unknown, or a class has no training pictures; the error names the line. Also if
        the table cannot be read, lacks a column, or has fewer than two classes.
    """
    check_shape(image_size)
    rows = read(file, path_column, label_column, split_column, group_column)
    classes = folder.sort_classes({row.label for row in rows})
    if len(classes) < 2:
        raise UserError(
            f"{file} has only one class, '{classes[0]}'; there must be at least two."
        )
    parts, groups = parts_of(
        file, rows, stored, test_fraction=test_fraction, test_split=test_split
    )
    shape = (image_size, image_size, channels)
    readers = {
        role: folder.files([(row.label, row.path) for row in part], classes)
        for role, part in parts.items()
    }
    transform = stored.transform()
    splits = {role: Records(r, shape, **transform) for role, r in readers.items()}
    return assemble(
        stored.of(splits, groups),
        classes=classes,
        in_memory=stored.in_memory,
        root=os.path.dirname(file),
    )


SOURCE = Source(
    "csv",
    load,
    takes=RangedPictures,
    stand_in=DIGITS,
    files=BANDED_FILES,
    perturbed=True,
)


def read(
    file: str,
    path: str,
    label: str,
    split: str = "",
    group: str = "",
    *,
    values: Sequence[str] = (),
) -> list[Row]:
    """Returns the rows of a table.

    Args:
      file: the path of the table.
      path: the name of the column with the paths of the pictures.
      label: the name of the column with the classes; empty if there is none.
      split: the name of the column with the splits; empty if there is none.
      group: the name of the column with the groups; empty if there is none.
      values: the names of the columns with numbers.

    Raises:
      UserError: see `load`.
    """
    if not file:
        raise UserError(
            "data.file is not set: set data.file to the CSV file that lists the "
            "pictures."
        )
    named = {"path_column": path, "label_column": label, "split_column": split}
    named["group_column"] = group
    columns = [(key, name) for key, name in named.items() if name]
    columns += [("value_columns", name) for name in values]
    known: dict[tuple[int, int], str] = {}
    rows = []
    for line, found in _lines(file, columns):
        where = f"{file}, line {line}"
        for _, column in columns:
            if not found[column]:
                raise UserError(
                    f"{where}: the column '{column}' is empty: write a value."
                )
        picture = os.path.join(os.path.dirname(file), found[path])
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
        label_name, split_name, group_name = (
            found.get(column, "") for column in (label, split, group)
        )
        numbers = tuple(found[column] for column in values)
        rows.append(Row(picture, label_name, split_name, group_name, where, numbers))
    if not rows:
        raise UserError(
            f"{file} lists no pictures: after the first line, write one line per "
            "picture."
        )
    return rows


def _lines(
    file: str, columns: Sequence[tuple[str, str]]
) -> list[tuple[int, dict[str, str]]]:
    """Returns the line number and the fields of each row, without surrounding spaces.

    The fields of a row are {column: text}.

    Args:
      file: the path of the table.
      columns: the columns to read, as pairs of the config key that names the column,
        and the name.
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
    for option, column in columns:
        if header.count(column) != 1:
            count = "two columns" if column in header else "no column"
            raise UserError(
                f"{file} has {count} '{column}'; its first line names the columns "
                f"{fields.shown(header)}. Set data.{option} to the name of one column."
            )
    found = []
    try:
        for row in reader:
            values = {name: (row[name] or "").strip() for _, name in columns}
            found.append((reader.line_num, values))
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.reader.line_num} is not valid CSV: {error}."
        ) from None
    return found


def parts_of(
    file: str,
    rows: Sequence[Row],
    roles: Roles,
    *,
    test_fraction: float,
    test_split: Sequence[str],
) -> tuple[dict[str, list[Row]], list[str] | None]:
    """Returns the pictures of each role, and their groups.

    The groups are those of the pictures for training, then of the pictures for
    validation; None if the table has no groups.

    Args:
      file: the path of the table, for errors.
      rows: the rows of the table.
      roles: the config keys that choose the validation split.
      test_fraction, test_split: see `load`.
    """
    if rows[0].split:
        parts = _by_column(file, rows, roles, test_split)
    else:
        parts = _divided(rows, test_fraction)
    if not rows[0].group:
        return parts, None
    _check_groups(parts)
    return parts, [row.group for row in (*parts["train"], *parts.get("val", ()))]


def _by_column(
    file: str, rows: Sequence[Row], roles: Roles, test_split: Sequence[str]
) -> dict[str, list[Row]]:
    """Returns the pictures of each role, according to the split column.

    Args:
      file: the path of the table, for errors.
      rows: the rows of the table, with the names of the splits.
      roles: the config keys that choose the validation split.
      test_split: see `load`.
    """
    known = {folder.TRAIN, *test_split, *folder.VAL_NAMES, *folder.TEST_SPLIT}
    known.add(roles.named() or folder.TRAIN)
    for row in rows:
        if row.split not in known:
            raise UserError(
                f"{row.where}: the split is {fields.shown(row.split)}; it must be "
                f"'{folder.TRAIN}', '{folder.VAL_NAMES[0]}' or '{test_split[0]}'."
            )
    given = {row.split for row in rows}
    tested = next((name for name in test_split if name in given), None)
    if tested is None or folder.TRAIN not in given:
        there = " and ".join(f"'{name}'" for name in sorted(given))
        raise UserError(
            f"{file}: the pictures have only the splits {there}; some pictures must "
            f"have the split '{folder.TRAIN}', and some the split '{test_split[0]}' "
            "(config.data.test_split)."
        )
    trained = {row.label for row in rows if row.split == folder.TRAIN}
    default = [n for n in folder.VAL_NAMES if n in given and n != tested]
    val = roles.own(default[0] if default else None)
    named = {"train": folder.TRAIN, "test": tested} | ({"val": val} if val else {})
    parts = {
        role: [row for row in rows if row.split == name] for role, name in named.items()
    }
    if not parts.get("val", True):
        raise UserError(f"config.data.val='{val}': no picture of {file} is in it.")
    for row in itertools.chain(*parts.values()):
        if row.label not in trained:
            raise UserError(
                f"{row.where}: class '{row.label}' has no pictures to train on: add "
                f"pictures to the split '{folder.TRAIN}', or remove the class."
            )
    return parts


def _divided(rows: Sequence[Row], test_fraction: float) -> dict[str, list[Row]]:
    """Returns the pictures for training and for testing.

    If the rows have groups, whole groups are for testing. Otherwise pictures of each
    class are.
    """
    if rows[0].group:
        groups = sorted({row.group for row in rows}, key=lambda g: (names.digest(g), g))
        chosen = set(groups[: max(1, round(len(groups) * test_fraction))])
        if len(chosen) == len(groups):
            raise UserError(
                "all pictures are in one group, so none is left to test on."
            )
        return {
            "train": [row for row in rows if row.group not in chosen],
            "test": [row for row in rows if row.group in chosen],
        }
    by_path = {row.path: row for row in rows}
    found = [(row.label, row.path) for row in rows]
    parts = zip(("train", "test"), folder.divided(found, test_fraction), strict=True)
    return {role: [by_path[path] for _, path in part] for role, part in parts}


def _check_groups(parts: Mapping[str, Sequence[Row]]) -> None:
    """Raises `UserError` if a group is in two splits."""
    for first, second in itertools.combinations(parts, 2):
        ours = {row.group for row in parts[first]}
        for row in parts[second]:
            if row.group in ours:
                raise UserError(
                    f"{row.where}: group '{row.group}' is in the {ROLES[first]} and in "
                    f"the {ROLES[second]} split; put all its pictures into one split."
                )
