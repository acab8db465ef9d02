"""The file sweep.json, which fixes the protocol of a sweep before its first run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.protocol import Protocol

FILE = "sweep.json"


def read(workdir: Path) -> Protocol | None:
    """Returns the protocol that was fixed in a sweep's folder; None if there is none.

    Raises:
      UserError: if the file sweep.json is damaged.
    """
    path = workdir / FILE
    try:
        content = records.read_json(path)
        return Protocol(
            _numbers(content["seeds"]),
            content["margin"],
            _numbers(content["looks"]),
            tuple(content["arms"]),
            _numbers(content["seen"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (records.Damaged, LookupError, TypeError, ValueError):
        raise UserError(
            f"{path} is damaged: move the file away. The next sweep in this folder "
            "then fixes its protocol again."
        ) from None


def _numbers(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def begun(workdir: Path) -> bool:
    """Returns whether a run of the sweep in a folder is complete."""
    return any(workdir.glob("*/seed*/results.json"))


def fix(
    protocol: Protocol, experiment: Experiment, workdir: Path, anew: bool = False
) -> Protocol:
    """Saves a protocol in the sweep's folder, before runs are trained.

    While the folder has no complete run, the protocol replaces any other protocol.

    Args:
      protocol: the protocol.
      experiment: the experiment.
      workdir: the sweep's folder.
      anew: True if all runs in the folder will be trained again.

    Returns:
      The protocol with the seeds of the runs that were complete before.

    Raises:
      UserError: see `check`.
    """
    saved = read(workdir)
    if anew or not begun(workdir):
        seen: tuple[int, ...] = ()
    else:
        check(protocol, saved, workdir)
        if saved and (saved.seeds, saved.looks) == (protocol.seeds, protocol.looks):
            seen = saved.seen
        else:
            rows = results.read(experiment)
            done = {row.run.seed for row in rows if row.outcome.status == "done"}
            seen = tuple(sorted(done))
    fixed = dataclasses.replace(protocol, seen=seen)
    content = dataclasses.asdict(fixed)
    del content["detect"]
    workdir.mkdir(parents=True, exist_ok=True)
    records.write_json(workdir / FILE, content)
    return fixed


def check(protocol: Protocol, saved: Protocol | None, workdir: Path) -> None:
    """Checks that a sweep that was planned with looks goes on with the same protocol.

    Args:
      protocol: the wanted protocol.
      saved: the result of `read`.
      workdir: the sweep's folder.

    Raises:
      UserError: if the saved protocol has looks, and the other protocol differs.
    """
    if not saved or not saved.looks or saved == protocol:
        return
    if saved.arms != protocol.arms:
        fixed = f"the arms {', '.join(saved.arms)}"
        remedy = "train exactly these arms (see --arms, --trials)"
    else:
        flags = " ".join(saved.flags())
        fixed, remedy = flags, f"give exactly these flags ({flags})"
    raise UserError(
        f"the sweep in {workdir} was planned with {fixed}, and a plan must not change "
        f"after a look at results: {remedy}, or set another --workdir."
    )
