"""Lists what a config may say: its keys with their values, and the names of things."""

import inspect
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cnn_jax import data, models, tasks
from cnn_jax.core import docstrings, key_texts, ranges
from cnn_jax.core.errors import unknown
from cnn_jax.core.keys import REQUIRED, Key
from cnn_jax.data import augmentations, perturbations
from cnn_jax.runs import schema
from cnn_jax.training import config as config_lib
from cnn_jax.training import optimizers, schedules
from cnn_jax.training.config import Config
from cnn_jax.training.progress import Progress

INDENT = "    "


def _sources() -> dict[str, Callable]:
    """Returns the function of each data source, by the source's name in a config."""
    return {
        f"{name}:NAME" if source.named else name: source.loader
        for name, source in data.SOURCES.items()
    }


def _models() -> dict[str, type]:
    """Returns the module of each network, by the network's name in a config."""
    specs = models.MODELS | {f"{k}:NAME": s for k, s in models.ON_BACKBONES.items()}
    return {name: spec.module for name, spec in specs.items()}


# The things that a name in a config may be.
NAMES: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "augmentations": lambda: augmentations.AUGMENTATIONS,
    "data": _sources,
    "models": _models,
    "optimizers": lambda: optimizers.OPTIMIZERS,
    "schedules": lambda: schedules.SCHEDULES,
    "tasks": lambda: tasks.TASKS,
}


def names(kind: str) -> str:
    """Returns the names of all things of a kind, each with a sentence about the thing.

    Args:
      kind: a name in `NAMES`.

    Raises:
      UserError: if the kind is unknown.
    """
    if kind not in NAMES:
        raise unknown("--list", kind, NAMES)
    things = NAMES[kind]()
    width = max(map(len, things))
    lines = []
    for name, thing in sorted(things.items()):
        text = docstrings.first_sentence(inspect.unwrap(thing))
        lines.append(_wrapped(f"{name:<{width}}  {text}", " " * (width + 2)))
    return "\n".join(lines)


def keys(config: Config) -> str:
    """Returns the keys of a config, each with its value, default, range and meaning.

    Args:
      config: the resolved config.
    """
    parts = [
        _row("", ["seed"], Key(ranges.Seed, config_lib.default().seed), config),
        _wrapped(INDENT + _meanings(schema)["seed"], INDENT),
    ]
    for group, known in schema.schema(config_lib.as_dict(config)).items():
        meanings = _explained(group, config)
        for together, key, name in key_texts.joined(known, config_lib.UNITS):
            parts.append(_row(f"{group}.", together, key, config[group]))
            if text := meanings.get(name):
                parts.append(_wrapped(INDENT + text, INDENT))
    return "\n".join(parts)


def _row(prefix: str, together: list[str], key: Key, values: Config) -> str:
    """Returns the line of a key: its value, its type and range, and its default.

    Args:
      prefix: the name of the key's group and a point; "" for a key without a group.
      together: the name of the key, or the names of a duration in all units.
      key: the type and the default.
      values: the values of the group.
    """
    given = [name for name in together if values[name] is not None] or together[:1]
    others = [name for name in together if name not in given]
    facts = [" or ".join(key_texts.types_of(key.hint)), key_texts.range_of(key.hint)]
    if key.default is not REQUIRED:
        facts.append(f"default {_text(key.default)}")
    if others:
        facts.append(f"also {', '.join(others)}")
    line = f"{prefix}{given[0]} = {_text(values[given[0]])}"
    return f"{line}    ({'; '.join(filter(None, facts))})"


def _text(value: Any) -> str:
    """Returns a value as the command line takes it."""
    return "''" if value == "" else str(value)


def _explained(group: str, config: Config) -> dict[str, str]:
    """Returns the meanings of the keys in a group of a config."""
    prefix = f"{group}."
    found = {
        key.removeprefix(prefix): text
        for key, text in _meanings(schema).items()
        if key.startswith(prefix)
    }
    for reader in _readers(group, config):
        kinds = reader.__mro__ if isinstance(reader, type) else (reader,)
        for kind in kinds:
            found = _meanings(kind) | found
    return found


def _readers(group: str, config: Config) -> Iterator[Any]:
    """Yields the functions and classes that explain the keys of a group."""
    yield from schema.READERS.get(group, ())
    name = config[group].get("name", "")
    if group == "data":
        source, _ = data.source(name)
        yield source.loader
        yield source.takes or object
        yield perturbations.view
    elif group == "model":
        upper, backbone = models.parts(name)
        yield models.spec_of(name).module
        yield models.spec_of(backbone).module if upper else object
    elif group == "task":
        yield tasks.find(name)
    elif group == "optimizer":
        yield optimizers.find(name)
    elif group == "schedule":
        yield schedules.find(name)
    elif group == "train":
        yield Progress


def _meanings(thing: Any) -> dict[str, str]:
    """Returns what the docstring of a thing says of each name."""
    return docstrings.entries(inspect.unwrap(thing) if callable(thing) else thing)


def _wrapped(text: str, indent: str) -> str:
    """Returns a text in lines as wide as the terminal."""
    width = shutil.get_terminal_size((100, 24)).columns
    return textwrap.fill(
        text, max(width, 60), subsequent_indent=indent, break_on_hyphens=False
    )
