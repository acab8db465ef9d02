"""Reads an experiment's file: a config, and arms that each change the config."""

import dataclasses
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import split_recipe
from cnn_jax.runs import resolve, run_folder
from cnn_jax.sweeps import arms as arms_lib
from cnn_jax.sweeps import study
from cnn_jax.sweeps.arms import SEARCH, SOURCE, Arm
from cnn_jax.sweeps.study import Search
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config

SEEDS = (0, 1, 2)
# The seed of every trial of a search. The runs that are compared have other seeds:
# a winner may owe its score to luck with this seed.
TRIAL_SEED = 1_000_000
TRIALS, TUNING_TRIALS, SMOKE_TRIALS = 30, 10, 2  # of a search, and to tune an arm
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
      command: the command that trains or resumes the run.
      title: the name of the run on the console; "" for `<arm>/seed<k>`.
    """

    arm: str
    seed: int
    config: Config
    workdir: Path
    command: tuple[str, ...]
    title: str = ""

    @property
    def name(self) -> str:
        """The name of the run on the console."""
        named = self.arm if self.is_source else f"{self.arm}/seed{self.seed}"
        return self.title or named

    @property
    def is_source(self) -> bool:
        """True if the other runs start from the weights of this run."""
        return self.arm == SOURCE


@dataclass(frozen=True)
class Recipe:
    """What the runs of an experiment's arms share.

    Attributes:
      spec: the experiment's file, `PATH.py` or `PATH.py:ARG`.
      values: the values of the file's config.
      shared: texts of the config values that all runs set.
      overrides: texts of the config values of the command line; arms set other values.
      seeded: the config keys that have the seed of the run as their value.
      smoke: whether runs are shrunk to a few steps on a few embedded examples.
      overwrite: whether a run that is already in its folder is removed first.
    """

    spec: str
    values: Mapping[str, Any]
    shared: Mapping[str, str]
    overrides: Mapping[str, str]
    seeded: tuple[str, ...]
    smoke: bool
    overwrite: bool

    def run(
        self,
        arm: str,
        values: Mapping[str, Any],
        seed: int,
        place: Path,
        more: Mapping[str, str] | None = None,
    ) -> Run:
        """Returns the run of an arm with a seed.

        Args:
          arm: the name of the arm.
          values: the config values that the arm sets.
          seed: the seed.
          place: the run's folder.
          more: texts of further config values, which replace all others.

        Raises:
          UserError: if the arm sets a key that nothing reads, a value out of its range,
            or a value that the command line sets too.
        """
        if both := sorted(values.keys() & self.overrides.keys()):
            raise UserError(
                f"arm '{arm}' already sets config.{both[0]}: leave out "
                f"--config.{both[0]}."
            )
        given = {**self.shared, **{k: as_text(v) for k, v in values.items()}}
        given |= {**dict.fromkeys(self.seeded, str(seed)), **(more or {})}
        try:
            return _run_of(
                *(self.spec, self.values, arm, place, given),
                smoke=self.smoke,
                overwrite=self.overwrite,
            )
        except UserError as error:
            raise UserError(f"arm '{arm}': {error}") from error


@dataclass(frozen=True)
class Experiment:
    """The runs of a sweep, arm by arm.

    Attributes:
      name: the name of the experiment's file, with the argument of `FILE.py:ARG`.
      question: the first paragraph of the file's docstring.
      command: the command that repeats the sweep.
      arms: the arms.
      runs: the runs of all arms, without the source run.
      source: the source run, whose weights all other runs start from; None if the
        experiment has no source run. The command line's config values do not apply to
        the source run.
      searches: the searches for values of arms, as far as they are. An arm has the
        values of its best trial if its search is finished.
      recipe: what the runs of the arms share; None if no file made the runs.
    """

    name: str
    question: str
    command: str
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    source: Run | None = None
    searches: tuple[Search, ...] = ()
    recipe: Recipe | None = field(default=None, compare=False)

    @property
    def searching(self) -> bool:
        """True if a search is not finished, so that an arm lacks its values."""
        return not all(search.finished for search in self.searches)

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
    seeds: Sequence[int] = SEEDS,
    only: str | None = None,
    smoke: bool = False,
    overwrite: bool = False,
    trials: int | None = None,
) -> Experiment:
    """Returns the experiment of a file.

    Args:
      spec: the file, `PATH.py` or `PATH.py:ARG`.
      workdir: the sweep's folder; a run's folder is `<workdir>/<arm>/seed<k>`.
      overrides: texts of config values for all arms: `{"train.epochs": "5"}`.
      seeds: the seeds of each arm.
      only: a regular expression that selects arms by name. The base arms of the
        selected arms are selected too. None selects all arms.
      smoke: if True, shrinks each run to a few steps on a few embedded examples.
      overwrite: if True, a run that is already in its folder is removed first.
      trials: the number of trials of a search, or to tune an arm; None: `TRIALS` or
        `TUNING_TRIALS`, and `SMOKE_TRIALS` in a smoke run.

    Raises:
      UserError: if the file is no experiment, an arm sets a key that nothing reads, or
        `only` matches no arm.
    """
    module = config_lib.load_module(spec)
    values = config_lib.values_of(spec, module)
    usual = TRIALS if hasattr(module, "search") else TUNING_TRIALS
    wanted = trials or (SMOKE_TRIALS if smoke else usual)
    arms = arms_lib.of_file(spec, module, wanted)
    path, argument = split_recipe(spec)
    source, shared = None, dict(overrides)
    # Weights that the user names replace the source run.
    trained = None if "model.init_from" in overrides else _trained(spec, module)
    if trained is not None:
        own = f"{path}:{trained}"
        own_values = config_lib.values_of(own, module)
        source = _run_of(
            *(own, own_values, SOURCE, workdir / SOURCE, {}),
            smoke=smoke,
            overwrite=overwrite,
        )
        shared["model.init_from"] = str(source.workdir)
    seeded = ("seed", *getattr(module, "SEEDED", ()))
    recipe = Recipe(spec, values, shared, overrides, seeded, smoke, overwrite)
    whole = hasattr(module, "search")  # otherwise each tuned arm has a folder
    chosen, searches = _tuned(
        arms_lib.chosen(arms, only),
        lambda arm: workdir / SEARCH / ("" if whole else arm.name),
        wanted,
    )
    if searches and TRIAL_SEED in seeds:
        raise UserError(
            f"the seed {TRIAL_SEED} is the seed of the trials: leave it out of --seeds."
        )
    runs = [
        recipe.run(arm.name, arm.values, seed, workdir / arm.name / f"seed{seed}")
        for arm in chosen
        for seed in seeds
    ]
    if not all(run.config.eval.test for run in runs):
        raise UserError(
            "a sweep compares its arms on the test split: leave out "
            "config.eval.test=false."
        )
    question = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]
    return Experiment(
        name="-".join(filter(None, [Path(path).stem, argument])),
        question=question,
        command=_command(spec, overrides, seeds, only, smoke, trials),
        arms=tuple(chosen),
        runs=tuple(runs),
        source=source,
        searches=searches,
        recipe=recipe,
    )


def _tuned(
    arms: Sequence[Arm], place: Callable[[Arm], Path], wanted: int
) -> tuple[list[Arm], tuple[Search, ...]]:
    """Returns the arms with the values that finished searches found, and all searches.

    Args:
      arms: the arms of the experiment's file.
      place: returns the folder of an arm's search.
      wanted: the number of trials of each search.
    """
    found, searches = [], []
    for arm in arms:
        if arm.tune:
            search = study.read(place(arm), arm.name, wanted)
            searches.append(search)
            if search.finished and search.best:
                values = {**arm.values, **search.best.values}
                arm = dataclasses.replace(arm, values=values)
        found.append(arm)
    return found, tuple(searches)


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


def _command(spec, overrides, seeds, only, smoke, trials) -> str:
    """Returns the command of a sweep, without the flags for the folder and launcher.

    See `load` for the arguments.
    """
    return shell_line(
        [
            *("python", "-m", "cnn_jax.sweep", f"--config={spec}"),
            *([f"--arms={only}"] if only else []),
            *([f"--seeds={','.join(map(str, seeds))}"] if seeds != SEEDS else []),
            *([f"--trials={trials}"] if trials else []),
            *(["--smoke"] if smoke else []),
            *(f"--config.{key}={text}" for key, text in overrides.items()),
        ]
    )


def as_text(value: Any) -> str:
    """Returns a config value as text for the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def short_text(value: Any) -> str:
    """Returns a config value as text for people: a float has four digits."""
    return f"{value:.4g}" if type(value) is float else as_text(value)


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
