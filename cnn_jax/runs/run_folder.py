"""The folder of a run: the run's config and results, and checks of the folder."""

import contextlib
import dataclasses
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.core import names, paths, records
from cnn_jax.core.errors import UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.core.records import Damaged
from cnn_jax.data import channel_statistics
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.runs import config_json, dataset_facts, extension, removal, user_code
from cnn_jax.runs.config_json import Saved
from cnn_jax.training import config as config_lib
from cnn_jax.training import machine
from cnn_jax.training.config import Config

PATIENCE = 30  # seconds to wait for another process that uses the folder


class Begun(NamedTuple):
    """A run that has begun in a folder.

    Attributes:
      saved: the content of the run's config.json; None if the file is damaged.
      results: the run's results; None if the run is not complete or results.json is
        damaged.
      damage: a line for each damaged file. Training rewrites these files.
      part: the record of the run before its extension, if the extension begins now; see
        `extension.part`.
    """

    saved: Saved | None
    results: dict[str, Any] | None
    damage: list[str]
    part: dict[str, Any] | None = None


def begun(workdir: Path, config: Config, *, extend: bool = False) -> Begun | None:
    """Returns the run in the folder; None if no run has begun there.

    Args:
      workdir: the folder.
      config: the config that the run must have.
      extend: whether `config` may extend the run; see `extension`. Then the folder must
        hold a run.

    Raises:
      UserError: if the folder holds a run with another config (the message names the
        differing keys). Also if the folder holds no run, but other files that have the
        names of a run's files.
    """
    check_place(workdir)
    user_code.check_place(workdir)
    if not (workdir / removal.CONFIG).exists():
        removal.check(workdir)
        if extend:
            raise UserError(f"--extend: there is no run in {workdir}.")
        return None
    try:
        saved = config_json.read(workdir)
    except Damaged as error:
        if config_json.is_damaged_one_of(workdir, config):
            return Begun(None, None, [str(error)])
        raise UserError(
            f"{workdir / removal.CONFIG} is damaged, and its readable part does not "
            "match this config: take another --workdir, or replace the run with "
            "--overwrite."
        ) from error
    extends = extend and bool(extension.replaced(saved, config))
    if not extends:
        check_config(saved, config)
    results, damage = None, []
    try:
        results = read_results(workdir, saved.content.get("config_hash"))
    except Damaged as error:
        damage = [f"{error} The results are computed again from the last checkpoint."]
    if extends:
        return Begun(saved, None, [], extension.part(saved, config, results))
    return Begun(saved, results, damage)


def check_config(saved: Saved, config: Config) -> None:
    """Raises UserError if the run's config differs from `config`.

    The message names the differing keys.
    """
    ours, theirs = config_lib.identity(config), config_lib.identity(saved.config)
    if lines := config_lib.differences(ours, theirs):
        longer = (
            ", or train it further with --extend"
            if extension.replaced(saved, config)
            else ""
        )
        raise UserError(
            f"{saved.workdir} holds a run of another config: {'; '.join(lines)}. "
            f"Take another --workdir, or replace the run with --overwrite{longer}."
        )


def check_overwrite(workdir: Path) -> None:
    """Raises UserError if `overwrite` must not remove the files in the folder."""
    check_place(workdir)
    removal.check(workdir)


def overwrite(workdir: Path) -> None:
    """Removes the run in the folder, if the folder holds a run. Other files stay.

    Raises:
      UserError: as `check_overwrite`.
    """
    check_place(workdir)
    user_code.check_place(workdir)
    removal.remove(workdir)


def check_place(workdir: Path) -> None:
    """Raises UserError if the path cannot be the folder of a run."""
    paths.check_length(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file: name a folder.")
    orbax_path(workdir / removal.CHECKPOINTS)
    for name in removal.RECORDS:
        records.check_regular(workdir / name)
    for directory, content in (
        (workdir / removal.CHECKPOINTS, "checkpoints"),
        (workdir / removal.PREDICTIONS.parent, "predictions"),
    ):
        if directory.exists() and not directory.is_dir():
            raise UserError(
                f"{directory} must be a folder for {content}, but is a file: move the "
                "file away."
            )


@contextlib.contextmanager
def reserved(workdir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Locks the run's folder, so that no other process trains in it.

    If another process holds the lock, this function waits up to `PATIENCE` seconds:
    the other process may be about to end, and still be saving its state.

    Args:
      workdir: the run's folder.
      say: a function that prints a message, which tells the user about the wait.

    Raises:
      UserError: if the other process does not end, or `workdir` is a file.
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
                    say(
                        f"another process trains in {workdir}: waiting until that "
                        "process ends"
                    )
                if second == PATIENCE:
                    raise UserError(
                        f"another process trains in {workdir}: end that process, or "
                        "take another --workdir."
                    ) from None
                time.sleep(1)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(lock)


def check_space(workdir: Path, state_bytes: int, keep: int) -> None:
    """Raises UserError unless the disk has room for the run's checkpoints.

    At most `keep + 2` checkpoints exist at once: the `keep` newest checkpoints, the
    best checkpoint, and a checkpoint that is being written.

    Args:
      workdir: the run's folder.
      state_bytes: the size of a checkpoint.
      keep: the config's `checkpoint.keep`.
    """
    place = workdir.absolute()
    while not place.exists():
        place = place.parent
    needed, free = state_bytes * (keep + 2), shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"the disk of {workdir} has {free / 1e6:,.1f} MB free, but the checkpoints "
            f"of this run need {needed / 1e6:,.1f} MB: take another --workdir, or free "
            "some space."
        )


def as_known(saved: Saved, dataset: Dataset) -> Dataset:
    """Returns a run's data set with the normalization that the run began with.

    That normalization may come from the weights of `config.model.init_from`. Images on
    the disk are not read again for it, and earlier versions counted all images of large
    splits. In all other cases, the data set is returned unchanged.

    Args:
      saved: the content of the run's config.json.
      dataset: the data set as read now.
    """
    config, known, train = saved.config, saved.dataset, dataset.splits["train"]
    own = config.model.init_from is None or config.data.normalization is not None
    if own and isinstance(train, Arrays) and len(train) <= channel_statistics.MOST:
        return dataset
    return dataclasses.replace(dataset, mean=known.mean, std=known.std)


def check_data(saved: Saved, dataset: Dataset) -> None:
    """Raises UserError if the data set has changed since the run began.

    Args:
      saved: the content of the run's config.json.
      dataset: the data set as read now.
    """
    ours, theirs = (
        known | {"classes": [names.key(name) for name in known["classes"]]}
        for known in (dataset_facts.of(dataset), saved.content["dataset"])
    )
    if lines := config_lib.differences(ours, theirs):
        raise UserError(
            f"the data has changed since the run in {saved.workdir} began: "
            f"{'; '.join(lines)}. Take another --workdir, or restore the old data."
        )


def other_devices(saved: Saved) -> str | None:
    """Returns a warning if the run began on another number of devices; else None."""
    count, now = saved.device_count, machine.description()["count"]
    if count is None or count == now:
        return None
    return (
        f"the run in {saved.workdir} began with a device count of {count} and resumes "
        f"with a device count of {now}: the results will not be bit-identical to the "
        f"results of a run with {count}."
    )


def write_results(workdir: Path, results: Mapping[str, Any]) -> None:
    """Writes a run's results and their checksum into results.json."""
    seal = {"checksum": records.checksum(results)}
    records.write_json(workdir / "results.json", {**results, **seal})


def remove_results(workdir: Path) -> None:
    """Removes results.json, because the run goes on."""
    (workdir / "results.json").unlink(missing_ok=True)


def read_results(
    workdir: Path, config_hash: str | None = None
) -> dict[str, Any] | None:
    """Returns the content of results.json; None if the run is not complete.

    Args:
      workdir: the run's folder.
      config_hash: the hash in the run's config.json, compared with the hash in
        results.json; None skips the comparison.

    Raises:
      Damaged: if the file differs from what the run wrote. The results can be computed
        again from the last checkpoint.
    """
    path = workdir / "results.json"
    try:
        results = records.read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not isinstance(results, dict) or type(results.get("step")) is not int:
        raise Damaged(f"{path} is not the results.json of a run.")
    sealed, known = "checksum" in results, results.pop("checksum", None)
    # Old versions wrote no checksum, only numbers and the hash of the config.
    if sealed:
        whole = known == records.checksum(results)
    else:
        odd = {key for key, value in results.items() if not _is_number(value)}
        whole = not odd - {"config_hash"}
    if not whole:
        raise Damaged(f"{path} is damaged (its checksum is wrong).")
    theirs = results.get("config_hash")
    if theirs and config_hash and theirs != config_hash:
        raise Damaged(f"{path} belongs to another run.")
    return results


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)
