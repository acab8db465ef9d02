"""A run's folder: what it is a run of, and what came of it."""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.core import disk, guard, names, paths, records, strict_json
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.core.records import Damaged
from cnn_jax.data.dataset import Dataset
from cnn_jax.runs import dataset_facts, migration, removal, user_code
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import config as config_lib
from cnn_jax.training import machine
from cnn_jax.training.config import Config

PACKAGES = ["cnn_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"]
PACKAGES += ["tensorflow-datasets", "grain"]
PATIENCE = 30  # seconds to wait for another process in the folder
# The keys of config.json in versions that kept no checksum.
UNCHECKED = guard.KEYS | {"tags", "device"}


def claim(workdir: Path, config: Config, *, overwrite: bool) -> bool:
    """Checks that a run of `config` may use the folder; True if it is one's already.

    Nothing is written; with `overwrite`, the run that is there is removed, and
    nothing else.

    Raises:
      UserError: the folder holds a run of another config (the differing keys are
        named), or something that is no run.
    """
    check_place(workdir)
    user_code.check_place(workdir)
    if overwrite:
        removal.remove(workdir)
    if not (workdir / removal.CONFIG).exists():
        removal.check(workdir)
        return False
    try:
        theirs = config_lib.identity(saved_config(workdir))
    except Damaged as error:
        if _is_damaged_one_of(workdir, config):
            return True
        raise UserError(
            f"{workdir / removal.CONFIG} is damaged, and what is left of it does not "
            "name this config: take another --workdir, or --overwrite this one."
        ) from error
    if lines := config_lib.differences(config_lib.identity(config), theirs):
        raise UserError(
            f"{workdir} holds a run of another config: {'; '.join(lines)}. "
            "Take another --workdir, or --overwrite this one."
        )
    return True


def check_overwrite(workdir: Path) -> None:
    """Raises UserError unless `claim` may remove the run in the folder."""
    check_place(workdir)
    removal.check(workdir)


def check_place(workdir: Path) -> None:
    """Raises UserError for what cannot be a run's folder, whatever is in it."""
    paths.check_length(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file, not a folder.")
    orbax_path(workdir / removal.CHECKPOINTS)
    for name in removal.RECORDS:
        records.check_regular(workdir / name)
    directory = workdir / removal.CHECKPOINTS
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is not a folder: move it away.")


@contextlib.contextmanager
def reserved(workdir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keeps other processes out of the run's folder while this one trains in it.

    Another one that is there may be saving its state before it ends: it is waited for.

    Args:
      say: tells the user of the wait.

    Raises:
      UserError: it does not end, or the folder is a file.
    """
    check_place(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    lock = os.open(workdir, os.O_RDONLY)
    try:
        for second in range(PATIENCE + 1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if second == 0:
                    say(f"another process trains in {workdir}: waiting for its end")
                if second == PATIENCE:
                    raise UserError(
                        f"another process trains in {workdir}: end it, or take another "
                        "--workdir."
                    ) from None
                time.sleep(1)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(lock)


def check_space(workdir: Path, state_bytes: int, keep: int) -> None:
    """Raises UserError unless the disk has room for the run's checkpoints.

    They are the best one, the `keep` newest, and the one that is being written.
    """
    place = workdir.absolute()
    while not place.exists():
        place = place.parent
    needed, free = state_bytes * (keep + 2), shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"the disk of {workdir} has {free / 1e6:,.1f} MB free, and the checkpoints "
            f"of this run need {needed / 1e6:,.1f} MB: take another --workdir, or make "
            "room."
        )


def describe(
    workdir: Path, config: Config, dataset: Dataset, tags: Mapping[str, str]
) -> None:
    """Writes config.json: the resolved config, tags, data, versions and the commit.

    What is left of a run whose removal was interrupted is removed before.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    removal.finish(workdir)
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
    } | user_code.record(config, _before(workdir))
    content["checksum"] = _checksum(content)
    write_json(workdir / removal.CONFIG, content)
    removal.forget(workdir)


def _before(workdir: Path) -> dict[str, Any]:
    """The content of config.json where a run goes on; `{}` where it begins."""
    with contextlib.suppress(UserError):
        return description(workdir)
    return {}


def _checksum(content: Mapping[str, Any]) -> str:
    """The checksum of config.json, without the places of the user's files.

    Users move their files, and change the places by hand.
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


def as_known(workdir: Path, config: Config, dataset: Dataset) -> Dataset:
    """The data with the normalization of the run in the folder, if it came from the
    weights that the run started from."""
    if config.model.init_from is None or config.data.normalization is not None:
        return dataset
    known = saved_dataset(workdir)
    return dataclasses.replace(dataset, mean=known.mean, std=known.std)


def check_data(workdir: Path, dataset: Dataset) -> None:
    """Raises UserError if the data is not what the run in the folder began with."""
    ours, theirs = (
        known | {"classes": [names.key(name) for name in known["classes"]]}
        for known in (dataset_facts.of(dataset), description(workdir)["dataset"])
    )
    if lines := config_lib.differences(ours, theirs):
        raise UserError(
            f"the data has changed since the run in {workdir} began: "
            f"{'; '.join(lines)}. Take another --workdir, or the data as it was."
        )


def other_devices(workdir: Path) -> str | None:
    """Returns a warning if the run began on another number of devices."""
    before = description(workdir).get("device")
    count = before.get("count") if isinstance(before, dict) else None
    now = machine.description()["count"]
    if count is None or count == now:
        return None
    return (
        f"the run in {workdir} began on a device count of {count} and goes on with "
        f"{now}: its results are no longer, to the bit, those of {count}."
    )


def saved_config(workdir: Path) -> Config:
    """Returns the resolved config of the run in a folder; its code can be imported.

    Warns of code that has changed since.

    Raises:
      UserError: as `description` and `user_code.restore`, or the config is one that no
        run can have.
    """
    content = description(workdir)
    for text in user_code.restore(content, workdir):
        warnings.warn(DataWarning(text), stacklevel=2)
    try:
        return _resolved(content)
    except UserError:
        raise
    except Exception as error:  # whatever values of wrong types provoke
        raise _not_a_runs(workdir, f"{type(error).__name__}: {error}") from error


def _resolved(content: Mapping[str, Any]) -> Config:
    """Returns the config in the content of a config.json of any version."""
    version = content.get("schema", 1)
    if version > migration.VERSION:
        raise UserError(
            f"the run is of a newer version of cnn_jax: its config has schema "
            f"{version}, and this version reads up to {migration.VERSION}."
        )
    config = migration.migrated(content["config"], version)
    return resolve(config, any_number=True)


def saved_dataset(workdir: Path) -> Dataset:
    """Returns what the run in a folder was trained on, without the examples.

    Raises:
      UserError: as `description`, or a fact of the data is missing or wrong.
    """
    try:
        return dataset_facts.dataset(description(workdir)["dataset"])
    except ValueError as error:
        raise _not_a_runs(workdir, str(error)) from error


def description(workdir: Path) -> dict[str, Any]:
    """Returns the content of a run's config.json.

    Raises:
      Damaged: the file is not what was written.
      UserError: there is none, or it is another program's.
    """
    path = workdir / removal.CONFIG
    try:
        content = records.read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{workdir} is not a run's folder: there is no config.json in it."
        ) from None
    except Damaged as error:
        raise Damaged(f"{error} {_MENDED}") from None
    if not guard.is_runs(content):
        raise _not_a_runs(workdir)
    if not _is_intact(content):
        raise Damaged(f"{path} is damaged (its checksum is wrong). {_MENDED}")
    return content


_MENDED = "The command that trained the run writes it again."


def _is_intact(content: Mapping[str, Any]) -> bool:
    """Returns whether the content of config.json is as it was written."""
    if not all(isinstance(content.get(key), dict) for key in ("config", "dataset")):
        return False
    if "checksum" not in content:
        return content.keys() <= UNCHECKED
    return content["checksum"] == _checksum(content)


def _not_a_runs(workdir: Path, reason: str = "") -> UserError:
    reason = f" ({reason})" if reason else ""
    return UserError(
        f"{workdir / removal.CONFIG} is not the config.json of a run{reason}."
    )


def is_whole(workdir: Path) -> bool:
    """Returns whether config.json is what the run wrote."""
    try:
        saved_dataset(workdir)
    except Damaged:
        return False
    return True


def _is_damaged_one_of(workdir: Path, config: Config) -> bool:
    """Returns whether a damaged config.json still says that it is of `config`."""
    text = records.read_bytes(workdir / removal.CONFIG)
    if f'"config_hash": "{config_lib.hash_of(config)}"'.encode() in text:
        return True
    try:
        theirs = _resolved(json.loads(text))
    except Exception:  # whatever the damage provokes
        return False
    return config_lib.identity(theirs) == config_lib.identity(config)


def write_json(path: Path, value: Any) -> None:
    """Writes the whole file or, when that fails, none of it.

    Raises:
      UserError: the disk refuses.
    """
    temporary = path.with_suffix(".tmp")
    try:
        with disk.writing(path):
            with temporary.open("w", encoding="utf-8") as file:
                file.write(strict_json.dumps(value, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except (OSError, UserError):
        temporary.unlink(missing_ok=True)
        raise


def write_results(workdir: Path, results: Mapping[str, Any]) -> None:
    """Writes results.json, with a checksum."""
    seal = {"checksum": records.checksum(results)}
    write_json(workdir / "results.json", {**results, **seal})


def read_results(workdir: Path) -> dict[str, Any] | None:
    """Returns the content of results.json; None while the run is not complete.

    Raises:
      Damaged: the file, or config.json, is not what the run wrote. The run's last
        checkpoint gives the same results again.
    """
    path = workdir / "results.json"
    try:
        results = records.read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not isinstance(results, dict) or type(results.get("step")) is not int:
        raise Damaged(f"{path} is not the results.json of a run.")
    sealed, known = "checksum" in results, results.pop("checksum", None)
    # Versions without a checksum wrote numbers, and the hash of the config.
    if sealed:
        whole = known == records.checksum(results)
    else:
        odd = {key for key, value in results.items() if not _is_number(value)}
        whole = not odd - {"config_hash"}
    if not whole:
        raise Damaged(f"{path} is damaged (its checksum is wrong).")
    ours = results.get("config_hash")
    if ours and ours != description(workdir).get("config_hash"):
        raise Damaged(f"{path} is that of another run.")
    return results


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the code that runs, `-dirty` when files were changed since."""
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
