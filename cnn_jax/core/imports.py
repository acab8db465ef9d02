"""Things by name: ours, or anybody's by import path."""

import importlib
from collections.abc import Mapping
from typing import Any

from cnn_jax.core.errors import UserError, unknown


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Returns `known[name]`, or what the import path `name` leads to.

    Args:
      kind: what the thing is called in an error: "model", "task".
      name: one of `known`, or a path such as "my_project.nets.MyNet".

    Raises:
      UserError: the name is not known, or the path leads to nothing.
    """
    if name in known:
        return known[name]
    module, dot, attribute = name.rpartition(".")
    if not dot:
        raise unknown(kind, name, known)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{kind} '{name}' cannot be imported: {error}.") from error
