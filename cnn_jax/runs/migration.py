"""Migrates configs of earlier versions to the schema of this version.

The schema is the set of config keys and their allowed values. config.json states the
version of its schema; a file without a version has version 1. A new version that
renames a value of a key adds an entry to `RENAMED`. A new version in which a new key
would change older runs adds an entry to `FORMER`.
"""

from collections.abc import Mapping
from typing import Any

from cnn_jax import data
from cnn_jax.training import config as config_lib

VERSION = 3
ROLES = 3  # the version since which the best checkpoint is chosen on `val`
# The renamed values `{key: {old: new}}`, by the version that introduced the new name.
RENAMED: dict[int, dict[str, dict[Any, Any]]] = {
    2: {"task.name": {"localisation": "localization"}},  # codespell:ignore
}
# The values of new keys in configs of earlier versions, by the version that introduced
# the keys.
FORMER: dict[int, dict[str, Any]] = {
    ROLES: {"data.val": 0, "data.test_split": config_lib.OLD_TEST_SPLIT},
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
    name = found.get("data", {}).get("name")
    for number, former in FORMER.items():
        if number > version and isinstance(name, str):
            known = data.options(name)
            for path, value in former.items():
                group, _, key = path.partition(".")
                if key in known:
                    found[group].setdefault(key, value)
    return found
