"""The entries of `optimizer.groups`: options for groups of parameters.

An entry is a pattern and options: `head: learning_rate_factor=10.0`. A pattern is a
regular expression; see `freezing`. A config file may also give a pair of the pattern
and a dict of the options: `("head", {"learning_rate_factor": 10})`. On the command
line, `;` separates entries. In a resolved config, an entry is a text.
"""

import ast
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnn_jax.core import calls, ranges
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import NotNegative

KEY = "optimizer.groups"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a group; None: as without the group.

    Attributes:
      learning_rate_factor: the factor of the learning rate.
      weight_decay: the weight decay of the optimizer. It skips biases and normalization
        in every group.
      frozen: whether the parameters are frozen.
    """

    learning_rate_factor: NotNegative | None = None
    weight_decay: NotNegative | None = None
    frozen: bool | None = None

    def __str__(self) -> str:
        given = dataclasses.asdict(self).items()
        return ", ".join(f"{key}={value}" for key, value in given if value is not None)


def resolved(given: Any, check: calls.Check = ranges.check) -> tuple[str, ...]:
    """Returns the entries of a config as texts.

    Args:
      given: the value of the config key: a text, or a list of texts and pairs.
      check: a function that checks a value against the range in its type.

    Raises:
      UserError: if an entry cannot be parsed, an option is unknown, or a value has a
        wrong type or is out of its range.
    """
    return tuple(
        f"{pattern}: {_checked(pattern, options, check)}"
        for pattern, options in _pairs(given)
    )


def parsed(text: str) -> tuple[str, Options]:
    """Returns the pattern and the options of an entry of a resolved config."""
    pattern, options = _parsed(text)
    return pattern, Options(**options)


def _pairs(given: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the pattern and the options of each entry."""
    if isinstance(given, str):
        text = given
        given = [entry for entry in text.split(";") if entry.strip()]
        with contextlib.suppress(*calls.UNREADABLE):
            given = ast.literal_eval(text)  # a list on the command line
    if not isinstance(given, list | tuple):
        raise UserError(
            f"config.optimizer.groups={given!r} must be a list of groups, such as "
            '("head: learning_rate_factor=10",).'
        )
    for entry in given:
        match entry:
            case str():
                yield _parsed(entry)
            case [str(pattern), Mapping() as options] if options:
                yield pattern, {**options}
            case _:
                raise _unreadable(entry)


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the pattern and the options of an entry that is a text."""
    pattern, _, options = text.rpartition(":")
    try:
        (call,) = calls.parsed(f"group({options})")
    except ValueError:
        raise _unreadable(text) from None
    if not pattern.strip() or not call.options:
        raise _unreadable(text)
    return pattern.strip(), call.options


def _checked(pattern: str, options: Mapping[str, Any], check: calls.Check) -> Options:
    """Returns the options of a group, after checks of their names and values."""
    found = calls.checked(KEY, "group", pattern, options, Options, check)
    return Options(**found)


def _unreadable(entry: Any) -> UserError:
    """Returns the error for an entry that is no pattern with options."""
    return UserError(
        f"config.optimizer.groups has the entry {entry!r}: write a pattern and "
        'options, such as "head: learning_rate_factor=10, weight_decay=0".'
    )
