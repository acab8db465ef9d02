"""The page of all public layers, file by file."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from flax import linen as nn

from cnn_jax import layers
from cnn_jax.core import docstrings
from docs.generators import markdown

INTRODUCTION = """
The names below are those of `cnn_jax.layers`. A layer is a `flax.linen` module: it has
`init` and `apply`. `help(cnn_jax.layers.Conv)` prints its attributes. Images have the
shape (batch, height, width, channels); clips and volumes have the shape (batch, depth,
height, width, channels). [Lecture](../lecture/index.md) explains what the layers
compute, and [Your own code](../guides/extending.md) how a network uses them.
"""
HEADERS = ("name", "what it is")


def page() -> str:
    """Returns the page."""
    return markdown.page("Layers", INTRODUCTION, _sections())


def _sections() -> Iterator[str]:
    files: dict[str, list[str]] = {}
    for name in layers.__all__:
        # Constants, and initial values that a function made, have no docstring.
        if getattr(getattr(layers, name), "__name__", None) == name:
            files.setdefault(getattr(layers, name).__module__, []).append(name)
    for module in sorted(files):
        yield f"## {module.rpartition('.')[2]}"
        told = importlib.import_module(module)
        yield f"{markdown.prose(docstrings.first_sentence(told))} (`{path(module)}`)"
        # Layers before functions, as the file has them.
        names = sorted(files[module], key=lambda name: _place(getattr(layers, name)))
        yield markdown.table(HEADERS, ((f"`{name}`", _told(name)) for name in names))


def path(module: str) -> str:
    """Returns the path of a module's file in the project."""
    return f"{module.replace('.', '/')}.py"


def _told(name: str) -> str:
    return markdown.prose(docstrings.first_sentence(getattr(layers, name)))


def _place(thing: Any) -> tuple[bool, int]:
    is_layer = inspect.isclass(thing) and issubclass(thing, nn.Module)
    thing = inspect.unwrap(thing)
    return not is_layer, inspect.getsourcelines(thing)[1]
