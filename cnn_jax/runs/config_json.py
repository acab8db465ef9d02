"""Writes config.json when a run begins, and reads it for later commands."""

import contextlib
import importlib.metadata
import json
import platform
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.core import guard, records
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.core.records import Damaged
from cnn_jax.data.dataset import Dataset
from cnn_jax.runs import dataset_facts, migration, removal, user_code
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import config as config_lib
from cnn_jax.training import machine
from cnn_jax.training.config import Config

PACKAGES = ["cnn_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"]
PACKAGES += ["tensorflow-datasets", "grain"]
# The keys of config.json in old versions, which wrote no checksum.
UNCHECKED = guard.KEYS | {"tags", "device"}
_MENDED = "Run the training command again to rewrite the file."


def describe(
    workdir: Path,
    config: Config,
    dataset: Dataset,
    tags: Mapping[str, str],
    part: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Writes a run's config.json.

    The file holds the resolved config, the tags, the facts about the data set (see
    `dataset_facts`), the versions of the packages and the git commit. If the run was
    extended, the entry "before" has a record of each part before an extension.

    If the removal of an old run was interrupted, this function first completes the
    removal.

    Args:
      workdir: the run's folder.
      config: the resolved config.
      dataset: the data set that the run is trained on.
      tags: the user's names and values for the run.
      part: the record of the part of the run that ends now; see `extension.part`.
      more: further entries of the file.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    removal.finish(workdir)
    present = _present(workdir)
    parts = [*present.get("before", ()), *([part] if part else ())]
    content = {
        "schema": migration.VERSION,
        "config": config_lib.as_dict(config),
        "config_hash": config_lib.hash_of(config),
        "tags": dict(tags),
        "dataset": dataset_facts.of(dataset),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "device": machine.description(),
    } | user_code.record(config, present)
    if parts:
        content["before"] = parts
    content |= more or {}
    content["checksum"] = _checksum(content)
    records.write_json(workdir / removal.CONFIG, content)
    removal.forget(workdir)


def _present(workdir: Path) -> dict[str, Any]:
    """Returns the content of the present config.json; `{}` for a new run."""
    with contextlib.suppress(UserError):
        return description(workdir)
    return {}


def _checksum(content: Mapping[str, Any]) -> str:
    """Returns the checksum of the content of config.json.

    The paths of the user's files do not count, because users who move their files then
    edit the paths in config.json by hand.
    """
    config = {
        f"{group}.{key}": value
        for group, values in content["config"].items()
        for key, value in (values if isinstance(values, dict) else {"": values}).items()
    }
    for key in config_lib.NOT_IDENTITY | config_lib.PATHS:
        config.pop(key, None)
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return records.checksum(rest | {"config": config})


class Saved(NamedTuple):
    """The content of a run's config.json.

    Attributes:
      config: the resolved config. If the config names the user's own code, the code
        can be imported.
      dataset: the data set that the run was trained on, without the examples.
      content: the content of the whole file.
      workdir: the run's folder.
    """

    config: Config
    dataset: Dataset
    content: dict[str, Any]
    workdir: Path

    @property
    def device_count(self) -> int | None:
        """The number of devices that the run began on; None if not recorded."""
        device = self.content.get("device")
        return device.get("count") if isinstance(device, dict) else None


def read(workdir: Path) -> Saved:
    """Reads the config.json of the run in a folder.

    Warns if the user's code has changed since the run began.

    Raises:
      Damaged: if the file differs from what the run wrote.
      UserError: if the file is missing or belongs to another program, if its config or
        data set is not valid, or if the user's code is not found.
    """
    content = description(workdir)
    for text in user_code.restore(content, workdir):
        warnings.warn(DataWarning(text), stacklevel=2)
    try:
        config, facts = _resolved(content), content["dataset"]
        return Saved(config, dataset_facts.dataset(facts), content, workdir)
    except UserError:
        raise
    except ValueError as error:
        raise _not_a_runs(workdir, str(error)) from error
    except Exception as error:  # values of wrong types can cause any error
        raise _not_a_runs(workdir, f"{type(error).__name__}: {error}") from error


def _resolved(content: Mapping[str, Any]) -> Config:
    """Returns the resolved config from the content of a config.json.

    The file may come from an earlier version of this package.
    """
    version = content.get("schema", 1)
    if version > migration.VERSION:
        raise UserError(
            f"a newer version of cnn_jax wrote this run's config (schema {version}), "
            f"but this version reads only schemas up to {migration.VERSION}: update "
            "cnn_jax."
        )
    config = migration.migrated(content["config"], version, content.get("dataset", {}))
    return resolve(config, any_number=True)


def description(workdir: Path) -> dict[str, Any]:
    """Returns the content of a run's config.json.

    Raises:
      Damaged: if the file differs from what the run wrote.
      UserError: if the file is missing or belongs to another program.
    """
    path = workdir / removal.CONFIG
    try:
        content = records.read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{workdir} is not a run's folder: the folder has no config.json. Check "
            "the path, or train the run first."
        ) from None
    except Damaged as error:
        raise Damaged(f"{error} {_MENDED}") from None
    if not guard.is_runs(content):
        raise _not_a_runs(workdir)
    if not _is_intact(content):
        raise Damaged(f"{path} is damaged (its checksum is wrong). {_MENDED}")
    return content


def _is_intact(content: Mapping[str, Any]) -> bool:
    """Returns whether the content of config.json is still what the run wrote."""
    if not all(isinstance(content.get(key), dict) for key in ("config", "dataset")):
        return False
    if "checksum" not in content:
        return content.keys() <= UNCHECKED
    return content["checksum"] == _checksum(content)


def _not_a_runs(workdir: Path, reason: str = "") -> UserError:
    """Returns the error for a config.json that no run of this package wrote."""
    reason = f" ({reason})" if reason else ""
    return UserError(
        f"{workdir / removal.CONFIG} is not the config.json of a run{reason}: use "
        "another folder."
    )


def is_damaged_one_of(workdir: Path, config: Config) -> bool:
    """Returns whether a damaged config.json probably belongs to a run of `config`.

    The readable part of the file is compared with `config`.
    """
    text = records.read_bytes(workdir / removal.CONFIG)
    if f'"config_hash": "{config_lib.hash_of(config)}"'.encode() in text:
        return True
    try:
        theirs = _resolved(json.loads(text))
    except Exception:  # damage can cause any error
        return False
    return config_lib.identity(theirs) == config_lib.identity(config)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Returns the git commit of this package; None if it is unknown.

    `-dirty` is appended if files differ from the commit.
    """
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
