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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import UserError
from cnn_jax.training import config as config_lib
from cnn_jax.training import machine
from cnn_jax.training.config import Config
from cnn_jax.training.resolve import resolve

PACKAGES = ["cnn_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"]
PACKAGES += ["tensorflow-datasets", "grain"]
# What a run writes, and so what `--overwrite` may remove.
PATIENCE = 30  # seconds to wait for another process in the folder
CONTENTS = ("config.json", "results.json", "metrics.jsonl", "checkpoints", "events.*")


def claim(workdir: Path, config: Config, *, overwrite: bool) -> bool:
    """Checks that a run of `config` may use the folder; True if it is one's already.

    Nothing is written; with `overwrite`, the run that is there is removed, and
    nothing else.

    Raises:
      UserError: the folder holds a run of another config (the differing keys are
        named), or something that is no run.
    """
    _check_folder(workdir)
    found = sorted(path for name in CONTENTS for path in workdir.glob(name))
    if not (workdir / "config.json").exists():
        if found:
            raise UserError(
                f"{workdir} is not a run's folder (it has no config.json), but holds "
                f"{', '.join(path.name for path in found)}: take another --workdir."
            )
        return False
    if overwrite:
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return False
    theirs = config_lib.identity(saved_config(workdir))
    if lines := config_lib.differences(config_lib.identity(config), theirs):
        raise UserError(
            f"{workdir} holds a run of another config: {'; '.join(lines)}. "
            "Take another --workdir, or --overwrite this one."
        )
    return True


def _check_folder(workdir: Path) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file, not a folder.")


@contextlib.contextmanager
def reserved(workdir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keeps other processes out of the run's folder while this one trains in it.

    Another one that is there may be saving its state before it ends: it is waited for.

    Args:
      say: tells the user of the wait.

    Raises:
      UserError: it does not end, or the folder is a file.
    """
    _check_folder(workdir)
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
    """Writes config.json: the resolved config, tags, data, versions and the commit."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(
        workdir / "config.json",
        {
            "config": config_lib.as_dict(config),
            "config_hash": config_lib.hash_of(config),
            "tags": dict(tags),
            "dataset": _facts(dataset),
            "versions": {"python": platform.python_version()}
            | {name: _version(name) for name in PACKAGES},
            "git_commit": _git_commit(),
            "device": machine.description(),
        },
    )


def _facts(dataset: Dataset) -> dict[str, Any]:
    """What a data set is, as JSON keeps it."""
    facts = {
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        "mean": dataset.mean,
        "std": dataset.std,
        "crop": dataset.crop,
        "examples": {name: len(split) for name, split in dataset.splits.items()},
    }
    if dataset.label_shape:
        facts["label_shape"] = dataset.label_shape
    if dataset.label_kind != "class":
        facts["label_kind"] = dataset.label_kind
    return json.loads(json.dumps(facts))


def as_known(workdir: Path, config: Config, dataset: Dataset) -> Dataset:
    """The data with the normalisation of the run in the folder, if it came from the
    weights that the run started from."""
    if config.model.init_from is None or config.data.normalization is not None:
        return dataset
    known = saved_dataset(workdir)
    return dataclasses.replace(dataset, mean=known.mean, std=known.std)


def check_data(workdir: Path, dataset: Dataset) -> None:
    """Raises UserError if the data is not what the run in the folder began with."""
    ours, theirs = _facts(dataset), _description(workdir)["dataset"]
    if lines := config_lib.differences(ours, theirs):
        raise UserError(
            f"the data has changed since the run in {workdir} began: "
            f"{'; '.join(lines)}. Take another --workdir, or the data as it was."
        )


def saved_config(workdir: Path) -> Config:
    """The resolved config of the run in a folder."""
    return resolve(_description(workdir)["config"], any_number=True)


def saved_dataset(workdir: Path) -> Dataset:
    """What the run in a folder was trained on: all but the examples themselves."""
    values = _description(workdir)["dataset"]
    return Dataset(
        splits={},
        classes=tuple(values["classes"]),
        image_shape=tuple(values["image_shape"]),
        mean=tuple(values["mean"]),
        std=tuple(values["std"]),
        crop=values["crop"],
        label_shape=tuple(values.get("label_shape", ())),
        label_kind=values.get("label_kind", "class"),
    )


def _description(workdir: Path) -> dict[str, Any]:
    path = workdir / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{workdir} is not a run's folder: there is no config.json in it."
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is damaged ({error}); --overwrite starts the run again."
        ) from None
    parts = ["config", "dataset"]
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), dict) for part in parts
    ):
        raise UserError(f"{path} is not the config.json of a run.")
    return content


def write_json(path: Path, value: Any) -> None:
    """Writes the whole file or, when that fails, none of it."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_results(workdir: Path) -> dict[str, Any] | None:
    """The content of results.json, None while the run is not complete."""
    try:
        return json.loads((workdir / "results.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # the run's last checkpoint gives it again


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
