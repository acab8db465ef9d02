"""Reads an experiment's file: a config, and arms that each change the config."""

import functools
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import split_recipe
from cnn_jax.runs import resolve, run_folder
from cnn_jax.sweeps import arms as arms_lib
from cnn_jax.sweeps import budgets as budgets_lib
from cnn_jax.sweeps import grid as grid_lib
from cnn_jax.sweeps.arms import SOURCE, Arm
from cnn_jax.sweeps.budgets import Budget
from cnn_jax.sweeps.step_times import Timer
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config

SEEDS = 3  # the number of seeds if nothing else is set
MORE_SEEDS = 10  # the number of seeds for embedded data: there a run takes seconds
# The first and the second parts of the names of crossed arms.
Grid = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Run:
    """A run of an arm with a seed, in its own folder.

    Attributes:
      arm: the name of the arm.
      seed: the seed.
      config: the resolved config.
      workdir: the run's folder.
      command: the command that trains or resumes the run; empty if no sweep trains it.
    """

    arm: str
    seed: int
    config: Config
    workdir: Path
    command: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the run on the console."""
        return self.arm if self.is_source else f"{self.arm}/seed{self.seed}"

    @property
    def is_source(self) -> bool:
        """True if the other runs start from the weights of this run."""
        return self.arm == SOURCE


@dataclass(frozen=True)
class Experiment:
    """The runs of a sweep, arm by arm.

    Attributes:
      name: the name of the experiment's file, with the argument of `FILE.py:ARG` and
        the keys of a grid.
      question: the first paragraph of the file's docstring, a question about the
        keys of a grid, or a table of the compared runs.
      command: the command of the sweep or the comparison, without the flags of the
        protocol (see `Protocol.flags`).
      arms: the arms.
      runs: the runs of all arms, without the source run.
      source: the source run, whose weights all other runs start from; None if the
        experiment has no source run. The command line's config values do not apply to
        the source run.
      default_seeds: the seeds of each arm if no others are given.
      budgets: for each arm with the same cost as its base arm, the value that was
        solved for. `arms` contains these values.
      conclude: the file's function `conclude`; None if the file has none. Its argument
        is the main metric of each complete run, by arm and by seed. It returns a
        paragraph of the report.
    """

    name: str
    question: str
    command: str
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    source: Run | None = None
    default_seeds: tuple[int, ...] = ()
    budgets: tuple[Budget, ...] = ()
    conclude: Callable[[Mapping[str, Mapping[int, float]]], str] | None = None

    @property
    def grid(self) -> Grid | None:
        """The names of the rows and of the columns if the arms are crossed; or None.

        Arms are crossed if they are named `ROW, COLUMN`, with an arm for each pair of a
        row and a column. An example is two optimizers, each with three learning rates.
        """
        pairs = [arm.name.split(", ") for arm in self.arms]
        if any(len(pair) != 2 for pair in pairs):
            return None
        rows = tuple(dict.fromkeys(row for row, _ in pairs))
        columns = tuple(dict.fromkeys(column for _, column in pairs))
        crossed = len(rows) * len(columns) == len(pairs)
        return (rows, columns) if crossed and min(len(rows), len(columns)) > 1 else None

    @property
    def in_order(self) -> tuple[Run, ...]:
        """All runs. The source run, if there is one, is the first."""
        return (*([self.source] if self.source else []), *self.runs)


def load(
    spec: str,
    workdir: Path,
    *,
    overrides: Mapping[str, str],
    grid: Mapping[str, Sequence[str]] | None = None,
    seeds: Sequence[int] | None = None,
    only: str | None = None,
    smoke: bool = False,
    overwrite: bool = False,
    timer: Timer | None = None,
) -> Experiment:
    """Returns the experiment of a file, or of a config file and a grid.

    Args:
      spec: the file, `PATH.py` or `PATH.py:ARG`.
      workdir: the sweep's folder; a run's folder is `<workdir>/<arm>/seed<k>`.
      overrides: texts of config values for all arms: `{"train.epochs": "5"}`.
      grid: texts of the config values whose combinations are the arms; see `grid.arms`.
        None: the arms that the file's `sweep()` yields.
      seeds: the seeds of each arm; None: see `_default_seeds`.
      only: a regular expression that selects arms by name. The base arms of the
        selected arms are selected too. None selects all arms.
      smoke: if True, shrinks each run to a few steps on a few embedded examples.
      overwrite: if True, a run that is already in its folder is removed first.
      timer: a function that measures step times. With None, the values of arms with
        equal step time must be in the folder already.

    Raises:
      UserError: if the file is no experiment, or is one beside a grid, if an arm sets a
        key that nothing reads, if `only` matches no arm, or if an arm cannot have the
        same cost as its base arm.
    """
    module = config_lib.load_module(spec)
    values = config_lib.values_of(spec, module)
    path, argument = split_recipe(spec)
    arms = _arms(spec, module, grid)
    run_of = functools.partial(_run_of, smoke=smoke, overwrite=overwrite)
    source, shared = None, dict(overrides)
    # Weights that the user names replace the source run. A plain config has none.
    started = bool(grid) or "model.init_from" in overrides
    trained = None if started else _trained(spec, module)
    if trained is not None:
        own = f"{path}:{trained}"
        own_values = config_lib.values_of(own, module)
        source = run_of(own, own_values, SOURCE, workdir / SOURCE, {})
        shared["model.init_from"] = str(source.workdir)
    for arm in arms:
        if both := sorted(arm.values.keys() & overrides.keys()):
            raise UserError(
                f"arm '{arm.name}' already sets config.{both[0]}: leave out "
                f"--config.{both[0]}."
            )
    default = _default_seeds(spec, module, values, overrides, smoke)
    seeded = ("seed", *getattr(module, "SEEDED", ()))

    def config_of(arm_values: Mapping[str, Any]) -> Config:
        texts = shared | {k: as_text(v) for k, v in arm_values.items()}
        return (resolve.resolve_smoke if smoke else resolve.resolve)(values, texts)

    chosen, equal = budgets_lib.solved(
        arms_lib.chosen(arms, only), config_of, workdir, timer
    )
    runs = []
    for arm in chosen:
        texts = shared | {k: as_text(v) for k, v in arm.values.items()}
        for seed in default if seeds is None else seeds:
            place = workdir / arm.name / f"seed{seed}"
            given = texts | dict.fromkeys(seeded, str(seed))
            try:
                runs.append(run_of(spec, values, arm.name, place, given))
            except UserError as error:
                raise UserError(f"arm '{arm.name}': {error}") from error
    question = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]
    keys = grid_lib.labels(grid or ()).values()
    if grid:
        question = f"What is the effect of {' and '.join(grid)} in {spec}?"
    return Experiment(
        name="-".join(filter(None, [Path(path).stem, argument, *keys])),
        question=question,
        command=_command(spec, overrides, grid or {}, only, smoke),
        arms=tuple(chosen),
        runs=tuple(runs),
        source=source,
        default_seeds=default,
        budgets=equal,
        conclude=_conclude(spec, module),
    )


def _arms(
    spec: str, module: Any, grid: Mapping[str, Sequence[str]] | None
) -> list[Arm]:
    """Returns the arms of a grid or, without a grid, of the file. See `load`."""
    if not grid:
        return arms_lib.of_file(spec, module)
    if hasattr(module, "sweep"):
        raise UserError(
            f"'{split_recipe(spec)[0]}' has arms of its own: leave out --grid, or name "
            "a config file without a function sweep()."
        )
    return grid_lib.arms(grid)


def _default_seeds(
    spec: str,
    module: Any,
    values: Mapping[str, Any],
    overrides: Mapping[str, str],
    smoke: bool,
) -> tuple[int, ...]:
    """Returns the seeds of each arm for a sweep that is not given any.

    The experiment's file may set their number, `SEEDS = 5`. Otherwise there are ten
    seeds if the data are embedded, and three if they are not. A smoke run has three.

    Args:
      spec, overrides, smoke: see `load`.
      module: the module of the experiment's file.
      values: the config file's values.

    Raises:
      UserError: if `SEEDS` is not a number of seeds.
    """
    count = getattr(module, "SEEDS", None)
    if count is not None and (type(count) is not int or count < 1):
        raise UserError(
            f"'{spec}' sets SEEDS = {count!r}: set a number of seeds, such as "
            "SEEDS = 5, or remove this line."
        )
    if smoke:
        count = SEEDS
    if count is None:
        name = overrides.get("data.name", values["data"]["name"])
        embedded = data.source(name)[0].embedded is not None
        count = MORE_SEEDS if embedded else SEEDS
    return tuple(range(count))


def _run_of(
    spec: str,
    values: Mapping[str, Any],
    arm: str,
    place: Path,
    given: Mapping[str, str],
    *,
    smoke: bool,
    overwrite: bool,
) -> Run:
    """Returns the run of an arm in a folder.

    Args:
      spec: the config file.
      values: the config file's values.
      arm: the name of the arm.
      place: the run's folder.
      given: the values that the arm, the seed and the command line set.
      smoke: whether the run is shrunk to a few steps on a few embedded examples.
      overwrite: whether a run that is already in the folder is removed first.

    Raises:
      UserError: if the arm sets a key that nothing reads, or a value out of its range.
    """
    config = (resolve.resolve_smoke if smoke else resolve.resolve)(values, given)
    command = (
        *(sys.executable, "-m", "cnn_jax.main"),
        f"--config={spec}",
        f"--workdir={place}",
        f"--tag=arm={arm}",
        *(["--smoke"] if smoke else []),
        *(["--overwrite"] if overwrite else []),
        *(f"--config.{key}={text}" for key, text in given.items()),
    )
    return Run(arm, config.seed, config, place, command)


def _trained(spec: str, module: Any) -> str | None:
    """Returns what the experiment's function `source` returns.

    The result is the argument of the source run's config, `FILE.py:ARG`. Returns None
    if the experiment has no source run.

    Args:
      spec: the experiment's file, `PATH.py` or `PATH.py:ARG`.
      module: the module of the file.
    """
    if not hasattr(module, "source"):
        return None
    with config_lib.blamed(spec):
        return arms_lib.called(module.source, split_recipe(spec)[1])


def _conclude(spec: str, module: Any) -> Callable[..., str] | None:
    """Returns the file's function `conclude`, whose errors name the file; or None."""
    if not hasattr(module, "conclude"):
        return None

    def conclude(values: Mapping[str, Mapping[int, float]]) -> str:
        with config_lib.blamed(spec):
            return str(module.conclude(values))

    return conclude


def _command(spec, overrides, grid, only, smoke) -> str:
    """Returns the command of a sweep, without the flags for the folder, the launcher
    and the protocol.

    See `load` for the arguments.
    """
    return shell_line(
        [
            *("python", "-m", "cnn_jax.sweep", f"--config={spec}"),
            *(f"--grid={key}={','.join(texts)}" for key, texts in grid.items()),
            *([f"--arms={only}"] if only else []),
            *(["--smoke"] if smoke else []),
            *(f"--config.{key}={text}" for key, text in overrides.items()),
        ]
    )


def as_text(value: Any) -> str:
    """Returns a config value as text for the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def incomplete(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs that are not complete.

    Raises:
      UserError: if a run's folder holds a run with another config. Then the arm has
        changed since. The message names the differing keys.
    """
    missing = []
    for run in runs:
        try:
            begun = run_folder.begun(run.workdir, run.config)
        except UserError as error:
            raise UserError(
                f"arm '{run.arm}' has changed: {error} (In a sweep, move {run.workdir} "
                "away instead of using --overwrite.)"
            ) from error
        if begun is None or begun.results is None:  # training rewrites damaged results
            missing.append(run)
    return missing


def shell_line(command: Sequence[str]) -> str:
    """Returns a command as one line for a shell, with quotes where needed."""
    return shlex.join(command)
