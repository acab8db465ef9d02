"""An experiment made of runs that no sweep trained.

Runs whose configs differ in nothing but the seed are an arm. So the report of a sweep
can be written for any runs of `python -m cnn_jax.main`.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from cnn_jax import tasks
from cnn_jax.core import guard, names
from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json, run_folder
from cnn_jax.runs.config_json import Saved
from cnn_jax.sweeps import grid
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.run import Run, as_text, shell_line
from cnn_jax.training import config as config_lib

MOST_KEYS = 3  # arms that differ in more keys are named by their folders
OF_SEED = re.compile(r"seed\d+")  # the folder of a run of a sweep


class Group(NamedTuple):
    """The runs of an arm.

    Attributes:
      settings: the config values that make the arm, by dotted key, without the seed.
      runs: the runs, which differ in their seeds.
    """

    settings: dict[str, Any]
    runs: list[Saved]


def of(folders: Sequence[Path], workdir: Path) -> Experiment:
    """Returns an experiment of the runs in folders. The first run is of the base arm.

    Args:
      folders: the runs' folders. `workdir` is ignored among them.
      workdir: the folder of the report.

    Raises:
      UserError: if a folder holds no run, if runs have other tasks or other data, if
        two runs of an arm have the same seed, or if `workdir` is in a run's folder.
    """
    _check_place(workdir)
    saved = [config_json.read(folder) for folder in folders if folder != workdir]
    if not saved:
        raise UserError(f"{workdir} is no run: name the folders of the runs.")
    for other in saved[1:]:
        _check_comparable(saved[0], other)
    _check_data(saved)
    groups = _groups(saved)
    arms = _arms(groups)
    found = list(zip(arms, groups, strict=True))
    given = [str(one.workdir) for one in saved]
    lines = [
        [arm.name, ", ".join(str(one.workdir) for one in group.runs)]
        for arm, group in found
    ]
    return Experiment(
        name=workdir.name,
        question=tabulate(
            lines, ["arm", "compared runs"], "github", disable_numparse=True
        ),
        command=shell_line(["python", "-m", "cnn_jax.sweep", "--compare", *given]),
        arms=arms,
        runs=tuple(
            Run(arm.name, one.config.seed, one.config, one.workdir)
            for arm, group in found
            for one in group.runs
        ),
        default_seeds=tuple(
            dict.fromkeys(one.config.seed for _, group in found for one in group.runs)
        ),
    )


def _check_place(workdir: Path) -> None:
    """Raises UserError if the report's files would be in a run's folder."""
    run_folder.check_place(workdir)
    if run := guard.run_of(str(workdir)):
        raise UserError(
            f"--workdir={workdir} is in {run}, the folder of a run: take another "
            "--workdir."
        )


def _check_comparable(one: Saved, other: Saved) -> None:
    """Raises UserError if the main metrics of two runs have different meanings."""
    first, second = _tested(one), _tested(other)
    for what, value in first.items():
        if value != second[what]:
            raise UserError(
                f"{one.workdir} and {other.workdir} cannot be compared: the {what} of "
                f"these runs differ ({names.short(str(value))} and "
                f"{names.short(str(second[what]))}). Compare runs of the same task, "
                "tested on the same data."
            )


def _tested(saved: Saved) -> dict[str, Any]:
    """Returns the task and the test data of a run, by their names in errors."""
    facts = _facts(saved)
    return {
        "tasks": saved.config.task.name,
        "main metrics": tasks.find(saved.config.task.name).best_metric,
        "data": saved.config.data.name,
        "classes": facts["classes"],
        "numbers of test examples": facts["examples"].get("test"),
    }


def _facts(saved: Saved) -> dict[str, Any]:
    """Returns the facts about a run's data set, with one spelling of each class."""
    facts = saved.content["dataset"]
    return facts | {"classes": [names.key(name) for name in facts["classes"]]}


def _check_data(saved: Sequence[Saved]) -> None:
    """Raises UserError if the same config of the data stands for different data.

    For example, the user's pictures may have changed between two runs.
    """
    known: dict[str, Saved] = {}
    for one in saved:
        # The weights that a run starts from may set the normalization.
        config = {
            key: value
            for key, value in config_lib.identity(one.config).items()
            if key.startswith("data.") or key == "model.init_from"
        }
        first = known.setdefault(json.dumps(config, sort_keys=True), one)
        ours, theirs = _facts(first), _facts(one)
        if keys := [key for key in ours if ours[key] != theirs.get(key)]:
            raise UserError(
                f"{first.workdir} and {one.workdir} cannot be compared: their configs "
                f"name the same data, but the data differ ({', '.join(keys)}). Compare "
                "runs that were trained on the same data."
            )


def _groups(saved: Sequence[Saved]) -> list[Group]:
    """Returns the runs of each arm.

    Keys such as `data.subset_seed` do not count if they equal the seed in every run.

    Raises:
      UserError: if two runs of an arm have the same seed.
    """
    flat = [config_lib.flat(one.config) for one in saved]
    seeds = {
        key
        for key in flat[0]
        if key.endswith("seed") and all(one.get(key) == one["seed"] for one in flat)
    }
    groups: dict[str, Group] = {}
    for one in saved:
        identity = config_lib.identity(one.config)
        settings = {key: value for key, value in identity.items() if key not in seeds}
        text = json.dumps(settings, sort_keys=True)
        group = groups.setdefault(text, Group(settings, []))
        for other in group.runs:
            if other.config.seed == one.config.seed:
                raise UserError(
                    f"{other.workdir} and {one.workdir} have the same config and the "
                    f"same seed, {one.config.seed}: leave out one of them."
                )
        group.runs.append(one)
    return list(groups.values())


def _arms(groups: Sequence[Group]) -> tuple[Arm, ...]:
    """Returns an arm for each group of runs.

    The values of an arm are the values of the keys in which the arms differ.
    """
    first = groups[0].settings
    keys = sorted({key for group in groups for key in group.settings | first})
    differing = [
        key
        for key in keys
        if any(group.settings.get(key) != first.get(key) for group in groups)
    ]
    values = []
    for group in groups:
        # An option that is off is no part of the identity, but has a value.
        flat = config_lib.flat(group.runs[0].config)
        values.append(
            {
                key: tuple(flat[key]) if isinstance(flat[key], list) else flat[key]
                for key in differing
                if key in flat
            }
        )
    called = _names(groups, values)
    return tuple(
        Arm(name, own, against=called[0] if place else None)
        for place, (name, own) in enumerate(zip(called, values, strict=True))
    )


def _names(
    groups: Sequence[Group], values: Sequence[Mapping[str, Any]]
) -> Sequence[str]:
    """Returns the name of each arm.

    An arm is named by the values of the keys that all arms have. If these are many, or
    do not tell the arms apart, the arm is named by the folder of its first run.

    Args:
      groups: the runs of each arm.
      values: for each arm, the values of the keys in which the arms differ.
    """
    shared = [key for key in values[0] if all(key in own for own in values)]
    if 0 < len(shared) <= MOST_KEYS:
        labels = grid.labels(shared)
        by_keys = [
            grid.name_of({key: as_text(own[key]) for key in shared}, labels)
            for own in values
        ]
        if len(set(by_keys)) == len(groups):
            return by_keys
    by_folder = [_folder(group.runs[0].workdir) for group in groups]
    return [
        name if by_folder.count(name) == 1 else f"{name} ({place})"
        for place, name in enumerate(by_folder, 1)
    ]


def _folder(workdir: Path) -> str:
    """Returns the name of a run's folder; in a sweep, the name of the arm's folder."""
    path = Path(os.path.abspath(workdir))
    return grid.valid(path.parent.name if OF_SEED.fullmatch(path.name) else path.name)
