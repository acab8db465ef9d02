"""Removes a run's files from its folder, for `--overwrite`.

The process may be killed at any moment. Then either the old run is still complete, or
running the same command again starts the new run. For this, a removal first moves the
old config.json into a hidden folder, then removes the other files. The removal ends
when the config.json of the new run is written.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.core.guard import CONFIG, is_runs
from cnn_jax.training import predictions

PREDICTIONS = predictions.FILE
RECORDS = (CONFIG, "results.json", "metrics.jsonl", str(PREDICTIONS))
FILES = (*RECORDS[1:], "events.out.tfevents.*")
TEMPORARY = (
    "config.tmp",
    "results.tmp",
    "metrics.tmp",
    str(PREDICTIONS.with_suffix(".tmp")),
)
CHECKPOINTS = "checkpoints"
STEP = re.compile(r"\d+(\.orbax-checkpoint-tmp.*)?")
# A folder that holds the old run's config.json during the removal.
HIDDEN = ".overwritten"


def found(workdir: Path) -> list[Path]:
    """Returns the paths in a folder whose names are those of a run's files."""
    names = (CONFIG, *FILES, CHECKPOINTS)
    return sorted(path for name in names for path in workdir.glob(name))


def check(workdir: Path) -> None:
    """Raises UserError if `remove` must not remove the files in the folder.

    `remove` may remove a run. A folder without any of a run's files is accepted too.
    If config.json is damaged, the folder holds a run if it has a checkpoint.
    """
    present = found(workdir)
    if not present or under_way(workdir):
        return
    names = ", ".join(path.name for path in present)
    if not (workdir / CONFIG).exists():
        raise UserError(
            f"{workdir} is not a run's folder: the folder holds {names}, but no "
            f"{CONFIG}. Take another --workdir, or move these files away."
        )
    try:
        ours = is_runs(records.read_json(workdir / CONFIG))
    except records.Damaged:
        ours = False
    if not ours and not any(_is_checkpoint(step) for step in _steps(workdir)):
        raise UserError(
            f"--overwrite removes only runs, but {workdir / CONFIG} is not the "
            f"{CONFIG} of a run: take another --workdir, or remove {names} yourself."
        )


def remove(workdir: Path) -> None:
    """Removes the run in the folder, if the folder holds a run. Other files stay.

    Raises:
      UserError: as `check`.
    """
    check(workdir)
    if (workdir / CONFIG).exists():
        (workdir / HIDDEN).mkdir(exist_ok=True)
        (workdir / CONFIG).replace(workdir / HIDDEN / CONFIG)
    finish(workdir)


def under_way(workdir: Path) -> bool:
    """Returns whether a removal has begun, and no new run has begun since."""
    return (workdir / HIDDEN / CONFIG).exists() and not (workdir / CONFIG).exists()


def finish(workdir: Path) -> None:
    """Completes the removal of a run, if a removal has begun."""
    if not under_way(workdir):
        return
    for name in (*FILES, *TEMPORARY):
        for path in workdir.glob(name):
            path.unlink()
    for step in _steps(workdir):
        if step.is_symlink() or not step.is_dir():
            step.unlink()
        else:
            shutil.rmtree(step)
    for folder in (CHECKPOINTS, PREDICTIONS.parent):
        # It may be missing, a link, or a folder with other files in it.
        with contextlib.suppress(OSError):
            (workdir / folder).rmdir()


def forget(workdir: Path) -> None:
    """Ends a removal: deletes the hidden config.json of the old run.

    Call this function after the new run's config.json is written.
    """
    (workdir / HIDDEN / CONFIG).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (workdir / HIDDEN).rmdir()


def _steps(workdir: Path) -> Iterator[Path]:
    """Yields the folders of a run's checkpoints, including half-written checkpoints."""
    directory = workdir / CHECKPOINTS
    if directory.is_dir():
        yield from (p for p in sorted(directory.iterdir()) if STEP.fullmatch(p.name))


def _is_checkpoint(step: Path) -> bool:
    return (step / "state").is_dir() and (step / "progress" / "metadata").is_file()
