"""The entries of `data.augmentations`, the list of a run's augmentations.

An entry is the name of an augmentation with its options. It is written like a call:
`crop(padding=4)`, or `flip` without options. A config file may also give a pair of the
name and a dict of the options: `("crop", {"padding": 4})`. In a resolved config, an
entry is a text with all options of the augmentation.
"""

import ast
import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnn_jax.core import calls, imports, ranges
from cnn_jax.core.calls import UNREADABLE, Check
from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.augmentation import Augmentation

KEY = "data.augmentations"
Named = Mapping[str, type[Augmentation]]


def resolved(given: Any, known: Named, check: Check = ranges.check) -> tuple[str, ...]:
    """Returns the entries of a config as texts with all options.

    Args:
      given: the value of the config key: a text with entries and commas, or a list of
        texts and pairs.
      known: the built-in augmentations by name.
      check: a function that checks a value against the range in its type.

    Raises:
      UserError: if an entry cannot be parsed, if an augmentation or an option is
        unknown, if an option is missing, or if a value has a wrong type or is out of
        its range.
    """
    return tuple(
        _text(name, _checked(name, options, known, check))
        for name, options in _pairs(given)
    )


def made(entries: Sequence[str], known: Named) -> tuple[Augmentation, ...]:
    """Returns the augmentations of the entries of a resolved config.

    Args:
      entries: the result of `resolved`.
      known: the built-in augmentations by name.
    """
    return tuple(
        find(name, known)(**options)
        for text in entries
        for name, options in _parsed(text)
    )


def find(name: str, known: Named) -> type[Augmentation]:
    """Returns the augmentation with a name in `known`, or at an import path.

    Raises:
      UserError: see `imports.find`. Also if the path leads to something other than an
        augmentation.
    """
    return imports.find(
        "augmentation",
        name,
        known,
        accepts=lambda kind: inspect.isclass(kind) and issubclass(kind, Augmentation),
        wanted="a subclass of cnn_jax.data.augmentations.augmentation.Augmentation",
    )


def _pairs(given: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the options of each entry."""
    if isinstance(given, str):
        with contextlib.suppress(*UNREADABLE):
            given = ast.literal_eval(given)  # a list on the command line
    if isinstance(given, str):
        yield from _parsed(given)
        return
    if not isinstance(given, list | tuple):
        raise UserError(
            f"config.{KEY}={given!r} must be a list of augmentations, such as "
            '("crop(padding=4)", "flip").'
        )
    for entry in given:
        match entry:
            case str():
                yield from _parsed(entry)
            case [str(name), Mapping() as options]:
                yield name, {**options}
            case _:
                raise UserError(
                    f"config.{KEY} has the entry {entry!r}: write a text such as "
                    '"crop(padding=4)", or a pair such as ("crop", {"padding": 4}).'
                )


def _parsed(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the options of each entry of a text with commas."""
    try:
        yield from calls.parsed(text)
    except ValueError:
        raise UserError(
            f"config.{KEY} has the text '{text}', which is no list of augmentations: "
            "write names with options, such as 'crop(padding=4), flip'."
        ) from None


def _checked(
    name: str, options: Mapping[str, Any], known: Named, check: Check
) -> dict[str, Any]:
    """Returns the value of each option of an augmentation, after checks."""
    found = calls.checked(KEY, "augmentation", name, options, find(name, known), check)
    try:
        find(name, known)(**found)
    except UserError as error:  # options that do not fit each other
        raise UserError(f"config.{KEY}: {name}: {error}") from error
    return found


def _text(name: str, options: Mapping[str, Any]) -> str:
    """Returns an entry as a text: `crop(padding=4)`, or `flip` without options."""
    written = ", ".join(f"{option}={value!r}" for option, value in options.items())
    return f"{name}({written})" if written else name
