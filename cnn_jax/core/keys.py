"""Config keys: the keyword-only parameters of whatever reads them."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from cnn_jax.core.errors import UserError

REQUIRED = dataclasses.MISSING  # in place of a default, as dataclasses have it


class Key(NamedTuple):
    """What a config key may hold, and its value where the config has none."""

    hint: Any
    default: Any = REQUIRED


def keywords(function: Callable) -> dict[str, Key]:
    """Returns the keyword-only parameters of a function or class, by name.

    Raises:
      UserError: a parameter has no type hint, which says what its key may hold, or the
        hints cannot be read.
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
                f"{path}: '{name}' needs a type hint, which says what its config key "
                "may hold."
            )
        empty = parameter.default is parameter.empty
        keys[name] = Key(hints[name], REQUIRED if empty else parameter.default)
    return keys
