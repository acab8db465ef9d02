"""Values of config keys: from the text of a command line, and of the right type."""

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
    """The value that the text from the command line stands for."""
    alternatives = _alternatives(expected.hint)
    if text.lower() == "none" and type(None) in alternatives:
        return None
    if str in alternatives:
        return text
    literal = {"true": "True", "false": "False"}.get(text, text)
    tuples = [kind for kind in alternatives if typing.get_origin(kind) is tuple]
    try:
        value = ast.literal_eval(literal)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        # Names without quotes: my_project.nets.Layer, or several with commas.
        if not any(typing.get_args(kind)[0] is str for kind in tuples):
            raise _wrong_type(key, text, expected.hint) from None
        value = tuple(name.strip() for name in text.split(",")) if text else ()
    return (value,) if tuples and not isinstance(value, tuple | list) else value


def checked(key: str, value: Any, hint: Any) -> Any:
    """The value, lists as tuples and whole numbers as floats where one is meant."""
    if isinstance(value, list):
        value = tuple(value)
    alternatives = _alternatives(hint)
    for alternative in alternatives:
        with contextlib.suppress(TypeError):
            return _as_type(value, alternative)
    raise _wrong_type(key, value, hint)


def _as_type(value: Any, kind: Any) -> Any:
    """The value as one of `kind`: a plain type, or a tuple of any length of one.

    Every element is looked at, where beartype takes one at random.
    """
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            raise TypeError
        return tuple(_as_type(element, typing.get_args(kind)[0]) for element in value)
    if kind is float and type(value) is int:
        # An integer beyond all floats is out of every range.
        return float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not kind:
        raise TypeError
    return value


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type that the hint is."""
    hint = ranges.plain(hint)
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _wrong_type(key: str, value: Any, hint: Any) -> UserError:
    hint = ranges.plain(hint)
    kind = hint.__name__ if isinstance(hint, type) else str(hint)
    return UserError(
        f"config.{key} must be of type {kind.replace('NoneType', 'None')}, "
        f"got {value!r}."
    )
