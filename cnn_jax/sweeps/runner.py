"""Executes a sweep: trains the runs, shows the progress, and writes the report."""

import contextlib
import fcntl
import functools
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from cnn_jax.analysis import page_tables
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import local, on_ray, protocol_file, results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.local import Event
from cnn_jax.sweeps.progress import BAD, Progress
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.reports import report as pages
from cnn_jax.sweeps.reports import tensorboard
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run, incomplete
from cnn_jax.sweeps.statistics import equivalence
from cnn_jax.training.signals import Signals, Stopped, stop_signals

# Takes the runs, the list of signals and, optionally, the function `ends`; see
# `local.launch`.
Launch = Callable[..., Iterator[Event]]


def launcher(
    name: str,
    *,
    cores_per_run: int = 1,
    runs_per_device: int | None = None,
    address: str | None = None,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
) -> tuple[Launch, int | None]:
    """Returns a function that trains runs, and the number of runs trained at a time.

    The number is None for Ray, because Ray itself decides on this number.

    Args:
      name: "local" or "ray".
      cores_per_run: CPU cores for each local run.
      runs_per_device: local runs that share a GPU; see `local.slots`.
      address: the address of a Ray cluster, HOST:PORT; None starts a cluster on this
        machine.
      num_cpus, num_gpus: the CPUs and GPUs that a run requests from Ray.

    Raises:
      UserError: if the cluster cannot be reached, or the machine is too small.
    """
    if name == "ray":
        ray = on_ray.connect(address)
        launch = functools.partial(
            on_ray.launch, ray=ray, num_cpus=num_cpus, num_gpus=num_gpus
        )
        return launch, None
    places = local.slots(cores_per_run, runs_per_device)
    return functools.partial(local.launch, places=places), len(places)


def complete(
    experiment: Experiment,
    protocol: Protocol,
    launched: tuple[Launch, int | None],
    *,
    workdir: Path,
    publish: Path | None = None,
    anew: bool = False,
) -> list[Row]:
    """Trains the missing runs that a protocol needs, and reports on all needed runs.

    With looks, the runs of the next look are trained until each arm has a verdict or
    the maximum number of seeds. No run is trained twice, so a failed run ends nothing.

    Args:
      experiment: the experiment.
      protocol: the protocol. It is fixed in the sweep's folder first, except for the
        protocol of a pilot (`Protocol.detect`).
      launched: the result of `launcher`.
      workdir, publish: see `train` and `report`.
      anew: True to train complete runs again.

    Returns:
      The result of `report`.

    Raises:
      Stopped, UserError: as `train`, `protocol_file.fix` and `report`.
    """
    launch, at_once = launched
    tried: set[str] = set()
    if protocol.detect is None:
        workdir.mkdir(parents=True, exist_ok=True)
        with alone(workdir):
            protocol = protocol_file.fix(protocol, experiment, workdir, anew)
    while True:
        todo, done = missing(experiment, protocol, tried, anew)
        if not todo:
            break
        train(todo, launch, workdir=workdir, at_once=at_once, done=done)
        tried |= {run.name for run in todo}
        if protocol.looks:
            print(_progress(experiment, protocol), file=sys.stderr)
    return report(experiment, workdir, publish, protocol)


def missing(
    experiment: Experiment,
    protocol: Protocol,
    tried: Collection[str] = (),
    anew: bool = False,
) -> tuple[list[Run], int]:
    """Returns the runs to train now, and the number of needed runs that are complete.

    Args:
      experiment: the experiment.
      protocol: the protocol, which says what runs are needed.
      tried: the names of the runs that were trained already.
      anew: True to train complete runs again, and to ignore their results.

    Raises:
      UserError: see `run.incomplete`.
    """
    rows = results.read(experiment)
    if anew:
        rows = [row for row in rows if row.run.name in tried]
    source = [experiment.source] if experiment.source else []
    needed = [*source, *protocol.runs(experiment, rows)]
    # All runs are checked: an arm that has changed is found before training begins.
    left = {run.name for run in incomplete(experiment.in_order)}
    done = [r for r in needed if r.name not in left and (r.name in tried or not anew)]
    skipped = {*tried, *(run.name for run in done)}
    return [run for run in needed if run.name not in skipped], len(done)


def _progress(experiment: Experiment, protocol: Protocol) -> str:
    found = protocol.decide(experiment, results.read(experiment))
    decided = sum(one.verdict != equivalence.UNDECIDED for one in found.values())
    return f"{decided} of {len(found)} compared arms are decided"


def train(
    runs: Sequence[Run],
    launch: Launch,
    *,
    workdir: Path,
    at_once: int | None,
    done: int,
) -> None:
    """Trains runs, the source run first.

    The other runs start from the source run's weights, so a failed source run ends the
    sweep. Any other failed run does not.

    Args:
      runs: the runs to train.
      launch: the function that trains runs, from `launcher`.
      workdir: the sweep's folder. The folder is locked, so that a second sweep cannot
        use it at the same time.
      at_once: the number of runs trained at a time, or None; see `Progress`.
      done: the number of runs that were complete before.

    Raises:
      Stopped: if a signal ended the sweep; the current runs have saved their state.
      UserError: if the source run failed.
    """
    first = [run for run in runs if run.is_source]
    rest = [run for run in runs if not run.is_source]
    with alone(workdir) as stopped, Progress(done, len(runs), at_once) as progress:
        for together in filter(None, (first, rest)):
            for run, outcome in launch(together, stopped):
                progress.show(run, outcome)
                if run.is_source and outcome and outcome.status in BAD:
                    raise UserError(
                        f"the run that all arms start from, {run.workdir}, failed: "
                        f"{outcome.reason}"
                    )


def report(
    experiment: Experiment,
    workdir: Path,
    publish: Path | None,
    protocol: Protocol,
) -> list[Row]:
    """Writes the report of a sweep, and prints the report's tables.

    Args:
      experiment: the experiment.
      workdir: the folder of the report; for a sweep, the sweep's folder.
      publish: a Markdown page that also gets the report as a section; None for no page.
      protocol: the protocol of the sweep. The report has the runs that it needs.

    Returns:
      A row for each run of the report.

    Raises:
      UserError: if there is no run, or if the page has no marker lines for the section
        (see `page_tables`). Also if some runs are not complete; the report is written
        before this error.
    """
    rows = results.read(experiment)
    shown = protocol.shown(experiment, rows)
    names = {run.name for run in shown.runs}
    rows = [row for row in rows if row.run.name in names]
    if all(row.outcome.status == "missing" for row in rows):
        raise UserError(
            f"there is no run of {shown.name} in {workdir}: train the runs "
            "without --report_only, or set --workdir to the sweep's folder."
        )
    workdir.mkdir(parents=True, exist_ok=True)
    print(pages.write(shown, rows, workdir, protocol))
    tensorboard.write(shown, rows, workdir)
    if lines := results.complaints(rows):
        print("", *lines, sep="\n")
    if publish:
        text = pages.section(shown, rows, publish.parent, protocol)
        page_tables.update(publish, shown.name, text)
    place = shlex.quote(str(workdir))
    print(f"\n{workdir / pages.FILE}\ntensorboard --logdir={place}")
    if left := [row for row in rows if row.outcome.status != "done"]:
        raise UserError(
            f"{len(left)} of {len(rows)} runs are not complete: "
            f"{workdir / pages.FILE} lists the reasons."
        )
    return rows


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[Signals]:
    """Locks a sweep's folder, so that no other sweep trains in the folder.

    The context's value is the list of received signals, which stop the sweep.

    Raises:
      UserError: if another sweep trains in the folder.
      Stopped: at the end of the context, if a signal was received.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (
        _locked(workdir),
        stop_signals("when the current runs have saved their state") as stopped,
    ):
        yield stopped
    if stopped:
        print(
            f"{stopped[0].name} stopped the sweep: run the same command again to "
            "continue.",
            file=sys.stderr,
        )
        raise Stopped(128 + stopped[0])


@contextlib.contextmanager
def _locked(workdir: Path) -> Iterator[None]:
    """Locks a folder for this process."""
    lock = os.open(workdir, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(
            f"another sweep runs in {workdir}: wait until that sweep ends, or take "
            "another --workdir."
        ) from None
    finally:
        os.close(lock)
