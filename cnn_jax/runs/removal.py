"""What a run writes into its folder, and its removal for `--overwrite`.

A kill at any moment leaves the old run whole, or a folder in which the same command
starts anew: the first act hides config.json, the next run's config.json is the last.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.core.guard import CONFIG, is_runs

RECORDS = (CONFIG, "results.json", "metrics.jsonl")
FILES = ("results.json", "metrics.jsonl", "events.out.tfevents.*")
TEMPORARY = ("config.tmp", "results.tmp", "metrics.tmp")
CHECKPOINTS = "checkpoints"
STEP = re.compile(r"\d+(\.orbax-checkpoint-tmp.*)?")
# Holds the config.json of a run from the first act of its removal to the last.
HIDDEN = ".overwritten"


def found(workdir: Path) -> list[Path]:
    """Returns what lies in the folder under the names of what a run writes."""
    names = (CONFIG, *FILES, CHECKPOINTS)
    return sorted(path for name in names for path in workdir.glob(name))


def check(workdir: Path) -> None:
    """Raises UserError unless `remove` may empty the folder of a run.

    A damaged config.json does not say whose it is; a run's checkpoints do.
    """
    present = found(workdir)
    if not present or under_way(workdir):
        return
    names = ", ".join(path.name for path in present)
    if not (workdir / CONFIG).exists():
        raise UserError(
            f"{workdir} is not a run's folder (it has no {CONFIG}), but holds {names}: "
            "take another --workdir."
        )
    try:
        ours = is_runs(records.read_json(workdir / CONFIG))
    except records.Damaged:
        ours = False
    if not ours and not any(_is_checkpoint(step) for step in _steps(workdir)):
        raise UserError(
            f"--overwrite removes runs only, and {workdir / CONFIG} is not the "
            f"{CONFIG} of a run: take another --workdir, or remove {names} yourself."
        )


def remove(workdir: Path) -> None:
    """Removes the run in the folder, if there is one, and nothing else.

    Raises:
      UserError: as `check`.
    """
    check(workdir)
    if (workdir / CONFIG).exists():
        (workdir / HIDDEN).mkdir(exist_ok=True)
        (workdir / CONFIG).replace(workdir / HIDDEN / CONFIG)
    finish(workdir)


def under_way(workdir: Path) -> bool:
    """Returns whether a removal has begun, and no other run since."""
    return (workdir / HIDDEN / CONFIG).exists() and not (workdir / CONFIG).exists()


def finish(workdir: Path) -> None:
    """Removes the rest of a run whose removal has begun."""
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
    with contextlib.suppress(OSError):  # absent, a link, or with files of others
        (workdir / CHECKPOINTS).rmdir()


def forget(workdir: Path) -> None:
    """Ends a removal: call it when the next run's config.json is written."""
    (workdir / HIDDEN / CONFIG).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (workdir / HIDDEN).rmdir()


def _steps(workdir: Path) -> Iterator[Path]:
    """The folders of Orbax's steps, half-written ones too."""
    directory = workdir / CHECKPOINTS
    if directory.is_dir():
        yield from (p for p in sorted(directory.iterdir()) if STEP.fullmatch(p.name))


def _is_checkpoint(step: Path) -> bool:
    return (step / "state").is_dir() and (step / "progress" / "metadata").is_file()
