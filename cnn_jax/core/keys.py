"""Config keys: the keyword-only parameters of the functions that read them."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from cnn_jax.core.errors import UserError

REQUIRED = dataclasses.MISSING  # stands for "no default", as in dataclasses


class Key(NamedTuple):
    """The type hint of a config key, and its default value."""

    hint: Any
    default: Any = REQUIRED


def keywords(function: Callable) -> dict[str, Key]:
    """Returns the keyword-only parameters of a function or class, by name.

    Raises:
      UserError: a parameter has no type hint (the hint defines the valid values of the
        key), or the hints cannot be read.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if not parameters:
        return {}
    path = f"{function.__module__}.{function.__qualname__}"
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UserError(f"the type hints of {path} cannot be read: {error}.") from error
    keys = {}
    for name, parameter in parameters.items():
        if name not in hints:
            raise UserError(
                f"{path}: '{name}' needs a type hint, which defines the values of its "
                "config key."
            )
        empty = parameter.default is parameter.empty
        keys[name] = Key(hints[name], REQUIRED if empty else parameter.default)
    return keys
