"""Migrates configs of earlier versions to the schema of this version.

The schema is the set of config keys and their allowed values. config.json states the
version of its schema; a file without a version has version 1. A new version that
renames a value of a key adds an entry to `RENAMED`.
"""

from collections.abc import Mapping
from typing import Any

VERSION = 2
# The renamed values `{key: {old: new}}`, by the version that introduced the new name.
RENAMED: dict[int, dict[str, dict[Any, Any]]] = {
    2: {"task.name": {"localisation": "localization"}},  # codespell:ignore
}


def migrated(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Returns a config of an earlier schema, translated to the present schema.

    Args:
      config: the config as nested dicts.
      version: the version of the config's schema.

    Returns:
      The translated config as nested dicts.
    """
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
