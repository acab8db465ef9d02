"""Config keys in words: the types, the range and the default of a value."""

import dataclasses
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cnn_jax.core import ranges
from cnn_jax.core.keys import REQUIRED, Key
from cnn_jax.core.paths import is_place

SIGNS = {"least": "≥", "above": ">", "most": "≤", "below": "<"}


def types_of(hint: Any) -> list[str]:
    """Returns the names of the types that a value may have."""
    if is_place(hint):
        return ["path"]
    plain = ranges.plain(hint)
    if typing.get_origin(plain) is tuple:
        (kind, *_) = typing.get_args(plain)
        return [f"tuple of {' or '.join(types_of(kind))}"]
    if ranges.is_union(plain):
        return [name for kind in typing.get_args(plain) for name in types_of(kind)]
    return ["None" if plain is type(None) else plain.__name__]


def range_of(hint: Any) -> str:
    """Returns the numbers that a value may be, such as "≥ 0, < 1".

    The result is "" if there are no limits.
    """
    found = []
    for bounds in ranges.bounds_of(hint):
        limits = dataclasses.asdict(bounds) if bounds else {}
        found.append(
            ", ".join(
                f"{SIGNS[name]} {limit:,}"
                for name, limit in limits.items()
                if limit is not None
            )
        )
    return " or ".join(filter(None, found))


def joined(
    keys: Mapping[str, Key], units: Collection[str]
) -> Iterator[tuple[list[str], Key, str]]:
    """Yields the rows of a list of keys; the units of a duration share a row.

    Args:
      keys: the keys by name.
      units: the names of the units of a duration.

    Yields:
      The names of the keys in the row, the key, and the name in docstrings: `warmup`
      for the keys `warmup_steps`, `warmup_epochs` and `warmup_examples`.
    """
    done: set[str] = set()
    for name, key in keys.items():
        if name in done:
            continue
        stem, _, unit = f"_{name}".rpartition("_")
        together = [f"{stem}_{unit}"[1:] for unit in units]
        if unit in units and all(other in keys for other in together):
            done |= set(together)
            defaults = [other for other in together if keys[other].default is not None]
            (shown,) = defaults or together[:1]
            key = keys[shown]
            if key.default is not None and key.default is not REQUIRED:
                amount = f"{key.default:g} {shown.rpartition('_')[2]}"
                key = Key(key.hint, "1 epoch" if amount == "1 epochs" else amount)
            yield together, Key(int | float | None, key.default), stem[1:] or "steps"
        else:
            yield [name], key, name
