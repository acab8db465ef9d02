"""Prepares a sweep: its experiment, and its protocol, new or as fixed in the folder."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from cnn_jax.sweeps import experiment, pilot, protocol, protocol_file
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.step_times import Timer

MAXIMUM = 30  # the default of --max_seeds


def load(
    spec: str,
    workdir: Path,
    *,
    overrides: Mapping[str, str],
    grid: Mapping[str, Sequence[str]] | None = None,
    seeds: Sequence[int] | None = None,
    only: str | None = None,
    smoke: bool = False,
    anew: bool = False,
    margin: float | None = None,
    max_seeds: int | None = None,
    detect: float | None = None,
    train: bool = True,
    timer: Timer | None = None,
    trials: int | None = None,
) -> tuple[Experiment, Protocol]:
    """Returns the experiment of a file, and the protocol of its sweep.

    A report without training, and a pilot, have the seeds, the looks and the margin
    that were fixed in the sweep's folder, unless others are given.

    Args:
      spec, workdir, overrides, grid, only, smoke, timer, trials: see `experiment.load`.
      seeds: the seeds of each arm; None for the default.
      anew: True to train complete runs again.
      margin, detect: see `Protocol`. A difference to detect plans a pilot.
      max_seeds: the maximum number of seeds, to add seeds until each arm is decided;
        None: no looks.
      train: False for a report without training.

    Raises:
      UserError: see `experiment.load`, `protocol.make` and `protocol_file`.
    """
    saved = None if anew else protocol_file.read(workdir)
    until, given = max_seeds is not None, seeds is not None
    if max_seeds is not None:
        seeds = range(max_seeds)
    elif seeds is None and saved and (detect is not None or not train):
        seeds, until = saved.seeds, bool(saved.looks) and detect is None
        margin = saved.margin if margin is None else margin
        if detect is not None and len(seeds) < pilot.SEEDS:
            seeds = list(dict.fromkeys([*seeds, *range(pilot.SEEDS)]))[: pilot.SEEDS]
    elif seeds is None and detect is not None:
        seeds = range(pilot.SEEDS)
    found = experiment.load(
        spec,
        workdir,
        overrides=overrides,
        grid=grid,
        seeds=seeds,
        only=only,
        smoke=smoke,
        overwrite=anew,
        timer=timer,
        trials=trials,
    )
    if detect is not None and not given:
        found = pilot.chosen(found)
    made = protocol.make(found, margin=margin, until=until, detect=detect)
    reads = detect is not None or not train
    if reads or protocol_file.begun(workdir):  # before a search, which may take hours
        protocol_file.check(made, saved, workdir)
        if reads and saved and (saved.seeds, saved.looks) == (made.seeds, made.looks):
            made = dataclasses.replace(made, seen=saved.seen)
    return found, made
