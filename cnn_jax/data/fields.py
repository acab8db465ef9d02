"""Checks of the fields in files of other programs, such as COCO's JSON files.

Errors name the entry of the file and the field of the entry.
"""

import json
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data.walk import check_regular

LARGEST_SIDE = 1_000_000  # the largest side of a picture, in pixels
_LARGEST_FLOAT = float(np.finfo(np.float64).max)
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control and surrogate


class Kind(NamedTuple):
    """The values that a field may have.

    Attributes:
      expected: the accepted values in words, for errors.
      accepts: a function that returns whether a value is accepted.
      optional: whether the field may be absent.
    """

    expected: str
    accepts: Callable[[Any], bool]
    optional: bool = False


def _is_number(value: Any) -> bool:
    # A comparison instead of a conversion: whole numbers of JSON may be too large for a
    # float.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT


def _is_whole(value: Any) -> bool:
    return _is_number(value) and value % 1 == 0


def _is_text(value: Any) -> bool:
    # Control characters would break the lines of reports and errors, and surrogates
    # cannot be written to a file.
    return isinstance(value, str) and bool(value.strip()) and not _UNFIT.search(value)


def _is_inside(value: Any) -> bool:
    if not _is_text(value):
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts


def _is_box(value: Any) -> bool:
    numbers = (
        isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
    )
    return numbers and value[2] >= 0 and value[3] >= 0


NUMBER = Kind("a finite number", _is_number)
SIDE = Kind(
    f"a whole number of pixels from 1 to {LARGEST_SIDE}",
    lambda value: _is_whole(value) and 1 <= value <= LARGEST_SIDE,
)
TEXT = Kind("a text without control characters", _is_text)
FILE = Kind("the path of a file inside of the folder of pictures", _is_inside)
ID = Kind("a whole number or a text", lambda value: _is_whole(value) or _is_text(value))
BOX = Kind(
    "four finite numbers: left, top, width and height, the last two not negative",
    _is_box,
)
LIST = Kind("a list", lambda value: isinstance(value, list))
FILLED_LIST = Kind(
    "a list that is not empty", lambda value: isinstance(value, list) and bool(value)
)
FLAG = Kind("0 or 1", lambda value: isinstance(value, int | float) and value in (0, 1))


def checked(entry: Any, kinds: Mapping[str, Kind], where: str) -> dict[str, Any]:
    """Returns the dictionary `entry` unchanged, after a check of its fields.

    Args:
      entry: the entry of a file.
      kinds: the accepted values of each field, by the field's name.
      where: the entry's name in errors.

    Raises:
      UserError: the entry is not a dictionary, a field is missing, or the value of a
        field is not accepted.
    """
    if not isinstance(entry, dict):
        raise UserError(
            f"{where} is {shown(entry)}; it must be an object with {', '.join(kinds)}."
        )
    for name, kind in kinds.items():
        if name not in entry:
            if kind.optional:
                continue
            raise UserError(f"{where} has no {name}: add {name}.")
        if not kind.accepts(entry[name]):
            raise UserError(
                f"{where}: {name} is {shown(entry[name])}; it must be {kind.expected}."
            )
    return entry


def entries(
    entry: Mapping[str, Any], name: str, kinds: Mapping[str, Kind], file: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the content of each dictionary in a list, after `checked`.

    The name is for errors: it consists of the file, and the index and the id of the
    dictionary.

    Args:
      entry: the dictionary that holds the list.
      name: the name of the field that holds the list.
      kinds: the accepted values of each field in the dictionaries of the list.
      file: the path of the file, for errors.

    Raises:
      UserError: see `checked`.
    """
    for i, item in enumerate(entry[name]):
        number = f" (id {shown(item['id'])})" if _has_id(item) else ""
        where = f"{file}: {name}[{i}]{number}"
        yield where, checked(item, kinds, where)


def _has_id(item: Any) -> bool:
    return isinstance(item, dict) and "id" in item


def check_new(value: Any, seen: dict[Any, str], name: str, where: str) -> None:
    """Adds a value to the values of earlier entries, if none of them has the value.

    Args:
      value: the value of a field in the entry.
      seen: the values of earlier entries, and the name of the entry of each value.
      name: the field's name in errors.
      where: the entry's name in errors.

    Raises:
      UserError: an earlier entry has the same value.
    """
    if value in seen:
        raise UserError(
            f"{where}: {name} is {shown(value)}, but {seen[value]} has the same value: "
            "change or remove one of the two."
        )
    seen[value] = where.rpartition(": ")[2]


def shown(value: Any) -> str:
    """Returns a value as one short line of text, for errors."""
    return _short.repr(value)


_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 2, 60, 60


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file in UTF-8, UTF-16 or UTF-32.

    Raises:
      UserError: the file cannot be read or is not JSON, or an object in the file has
        two fields with the same name.
    """
    try:
        return json.loads(read(path), object_pairs_hook=_unique)
    except RecursionError:
        reason = "its lists or objects are nested too deeply"
    except UnicodeDecodeError:
        reason = "it is not text in UTF-8"
    except ValueError as error:
        reason = str(error)
    raise UserError(f"{path} is not a JSON file: {reason}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the object {shown(found)} has the key {shown(twice)} twice")
    return found


def read(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        check_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
