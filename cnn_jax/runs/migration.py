"""Migrates configs of earlier versions to the schema of this version.

config.json states the version of its schema; a file without a version has version 1. A
version that renames a key or a value of a key adds an entry to `RENAMED`.
"""

from collections.abc import Mapping
from typing import Any

VERSION = 2
# The renamed values `{key: {old: new}}`, by the version that introduced the new name.
RENAMED: dict[int, dict[str, dict[Any, Any]]] = {
    2: {"task.name": {"localisation": "localization"}},  # codespell:ignore
}


def migrated(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Returns a config of `version` in this version's schema, both as nested dicts."""
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
