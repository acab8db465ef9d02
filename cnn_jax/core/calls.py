"""Texts that name a thing with options, written like a call: `focal(gamma=1.5)`."""

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cnn_jax.core import ranges, values
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.keys import REQUIRED, keywords

# Errors of Python's parser for a text that it cannot read.
UNREADABLE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
# A function like `ranges.check`: takes the value's name, the value and its type hint.
Check = Callable[[str, Any, Any], None]


class Call(NamedTuple):
    """The name of a thing, and its options."""

    name: str
    options: dict[str, Any]


def parsed(text: str) -> list[Call]:
    """Returns the entries of a text with commas: `crop(padding=4), flip`.

    Raises:
      ValueError: the text is no list of names with options.
    """
    if not text.strip():
        return []
    try:
        listed = ast.parse(f"[{text}]", mode="eval").body
        if not isinstance(listed, ast.List):
            raise ValueError
        return [_call(node) for node in listed.elts]
    except UNREADABLE as error:
        raise ValueError(text) from error


def _call(node: ast.expr) -> Call:
    called = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if called.args or not isinstance(called.func, ast.Name | ast.Attribute):
        raise ValueError
    options = {str(k.arg): ast.literal_eval(k.value) for k in called.keywords}
    return Call(ast.unparse(called.func), options)


def checked(
    key: str,
    kind: str,
    name: str,
    options: Mapping[str, Any],
    function: Callable,
    check: Check = ranges.check,
) -> dict[str, Any]:
    """Returns the value of each option of a function, after checks.

    Args:
      key: the config key with the text, such as "data.augmentations", for errors.
      kind: the kind of the function for errors, such as "augmentation".
      name: the name of the function in the text.
      options: the options in the text.
      function: the function or class; its options are its keyword-only parameters.
      check: a function that checks a value against the range in its type.

    Raises:
      UserError: an option is unknown or missing, or a value has a wrong type or is out
        of its range.
    """
    keys = keywords(function)
    for option in options:
        if option not in keys:
            raise unknown(f"option of the {kind} '{name}':", option, keys)
    found = {}
    for option, (hint, fallback) in keys.items():
        value = options.get(option, fallback)
        if value is REQUIRED:
            raise UserError(
                f"config.{key}: the {kind} '{name}' needs the option '{option}': "
                f"write {name}({option}=...)."
            )
        place = f"{key}: {name}({option})"
        found[option] = values.checked(place, value, hint)
        check(f"config.{place}", found[option], hint)
    return found
