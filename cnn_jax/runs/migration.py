"""Configs of runs of earlier versions, as this version writes them.

config.json holds the version of its schema; a file without one is of version 1. Each
version that renames a key, or a value of one, adds an entry to `RENAMED`.
"""

from collections.abc import Mapping
from typing import Any

VERSION = 2
# By the version that brought the new name: values of keys, `{key: {old: new}}`.
RENAMED: dict[int, dict[str, dict[Any, Any]]] = {
    2: {"task.name": {"localisation": "localization"}},  # codespell:ignore
}


def migrated(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Returns a config of a version as one of this version, both as nested dicts."""
    found = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
    }
    for number, renamed in sorted(RENAMED.items()):
        if number <= version:
            continue
        for path, values in renamed.items():
            group, _, key = path.partition(".")
            value = found.get(group, {}).get(key)
            if isinstance(value, str) and value in values:
                found[group][key] = values[value]
    return found
