"""Parses and checks the values of config keys."""

import ast
import contextlib
import math
import types
import typing
from typing import Any

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import Key


def parsed(key: str, text: str, expected: Key) -> Any:
    """Parses the text of a config value from the command line.

    Args:
      key: the dotted key, named in the error.
      text: the text, such as "0.05" or "none".
      expected: the type and the default of the key.

    Raises:
      UserError: if the text cannot be parsed as a value of the key's type.
    """
    alternatives = _alternatives(expected.hint)
    if text.lower() == "none" and type(None) in alternatives:
        return None
    is_list = text.startswith(("(", "[")) and any(map(_is_tuple, alternatives))
    if str in alternatives and not is_list:
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(text) if kind in alternatives else text
        return text
    literal = {"true": "True", "false": "False"}.get(text, text)
    tuples = list(filter(_is_tuple, alternatives))
    try:
        value = ast.literal_eval(literal)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        # Names need no quotes: my_project.nets.Layer, or several with commas.
        if not any(typing.get_args(kind)[0] is str for kind in tuples):
            raise _wrong_type(key, text, expected.hint) from None
        value = tuple(name.strip() for name in text.split(",")) if text else ()
    return (value,) if tuples and not isinstance(value, tuple | list) else value


def checked(key: str, value: Any, hint: Any) -> Any:
    """Returns the value of a config key with the key's type.

    A list becomes a tuple. An integer becomes a float if the type is float.

    Args:
      key: the dotted key, named in the error.
      value: the value.
      hint: the type.

    Raises:
      UserError: if the value has another type.
    """
    if isinstance(value, list):
        value = tuple(value)
    alternatives = _alternatives(hint)
    for alternative in alternatives:
        with contextlib.suppress(TypeError):
            return _as_type(value, alternative)
    raise _wrong_type(key, value, hint)


def _as_type(value: Any, kind: Any) -> Any:
    """Returns a value with the type `kind`.

    Every element of a tuple is checked. (beartype would check one element at random.)

    Args:
      value: the value.
      kind: a plain type such as float, or a tuple type such as `tuple[int, ...]`.

    Raises:
      TypeError: if the value has another type.
    """
    if _is_tuple(kind):
        if not isinstance(value, tuple):
            raise TypeError
        return tuple(_as_type(element, typing.get_args(kind)[0]) for element in value)
    if kind is float and type(value) is int:
        # An integer too large for a float becomes infinity, which every range refuses.
        return float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not kind:
        raise TypeError
    return value


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """Returns the members of a union type such as `int | None`.

    For any other type, returns a tuple with this type.
    """
    hint = ranges.plain(hint)
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _wrong_type(key: str, value: Any, hint: Any) -> UserError:
    """Returns the error for a value of a wrong type."""
    hint = ranges.plain(hint)
    kind = hint.__name__ if isinstance(hint, type) else str(hint)
    return UserError(
        f"config.{key} must be of type {kind.replace('NoneType', 'None')}, "
        f"got {value!r}."
    )
