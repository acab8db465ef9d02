"""Reads an experiment's file: a config, and arms that each change the config."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import split_recipe
from cnn_jax.sweeps import arms as arms_lib
from cnn_jax.sweeps import budgets as budgets_lib
from cnn_jax.sweeps import grid as grid_lib
from cnn_jax.sweeps.arms import SEARCH, SOURCE, Arm
from cnn_jax.sweeps.budgets import Budget
from cnn_jax.sweeps.run import Recipe, Run, shell_line
from cnn_jax.sweeps.searches import study
from cnn_jax.sweeps.searches.study import Search
from cnn_jax.sweeps.step_times import Timer
from cnn_jax.training import config as config_lib

SEEDS = 3  # the number of seeds if nothing else is set
MORE_SEEDS = 10  # the number of seeds for embedded data: there a run takes seconds
# The seed of every trial of a search. The runs that are compared have other seeds:
# a winner may owe its score to luck with this seed.
TRIAL_SEED = 1_000_000
TRIALS, TUNING_TRIALS, SMOKE_TRIALS = 30, 10, 2  # of a search, and to tune an arm
# Config values of all runs: only the last evaluation of a run draws pictures.
FASTER = {"eval.pictures": "false"}
# The first and the second parts of the names of crossed arms.
Grid = tuple[tuple[str, ...], tuple[str, ...]]


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
    default_seeds: tuple[int, ...] = ()
    budgets: tuple[Budget, ...] = ()
    conclude: Callable[[Mapping[str, Mapping[int, float]]], str] | None = None
    searches: tuple[Search, ...] = ()
    recipe: Recipe | None = field(default=None, compare=False)

    @property
    def searching(self) -> bool:
        """True if a search is not finished, so that an arm lacks its values."""
        return not all(search.finished for search in self.searches)

    @property
    def against(self) -> dict[str, str | None]:
        """The name of each arm's base arm; None if the arm is not compared."""
        return {arm.name: arm.against for arm in self.arms}

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
    trials: int | None = None,
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
      trials: the number of trials of a search, or to tune an arm; None: `TRIALS` or
        `TUNING_TRIALS`, and `SMOKE_TRIALS` in a smoke run.

    Raises:
      UserError: if the file is no experiment, or is one beside a grid, if an arm sets a
        key that nothing reads, if `only` matches no arm, or if an arm cannot have the
        same cost as its base arm.
    """
    module = config_lib.load_module(spec)
    values = config_lib.values_of(spec, module)
    whole = hasattr(module, "search")  # otherwise each tuned arm has a folder
    wanted = trials or (SMOKE_TRIALS if smoke else TRIALS if whole else TUNING_TRIALS)
    arms = _arms(spec, module, grid, wanted)
    source, shared = None, FASTER | dict(overrides)
    # Weights that the user names replace the source run. A plain config has none.
    if not grid and "model.init_from" not in overrides:
        source = _source(spec, module, workdir, smoke, overwrite)
    if source:
        shared["model.init_from"] = str(source.workdir)
    seeded = ("seed", *getattr(module, "SEEDED", ()))
    recipe = Recipe(spec, values, shared, overrides, seeded, smoke, overwrite)
    equal_arms, equal = budgets_lib.solved(
        arms_lib.chosen(arms, only), recipe.config, workdir, timer
    )
    chosen, searches = _tuned(
        equal_arms, lambda arm: workdir / SEARCH / ("" if whole else arm.name), wanted
    )
    default = _default_seeds(spec, module, values, overrides, smoke)
    used = default if seeds is None else seeds
    if searches and TRIAL_SEED in used:
        raise UserError(
            f"the seed {TRIAL_SEED} is the seed of the trials: leave it out of --seeds."
        )
    runs = [
        recipe.run(arm.name, arm.values, seed, workdir / arm.name / f"seed{seed}")
        for arm in chosen
        for seed in used
    ]
    if not all(run.config.eval.test for run in runs):
        raise UserError(
            "a sweep compares its arms on the test split: leave out "
            "config.eval.test=false."
        )
    name, question = _named(spec, module, grid or {})
    return Experiment(
        name=name,
        question=question,
        command=_command(spec, overrides, grid or {}, only, smoke, trials),
        arms=tuple(chosen),
        runs=tuple(runs),
        source=source,
        default_seeds=default,
        budgets=equal,
        conclude=_conclude(spec, module),
        searches=searches,
        recipe=recipe,
    )


def _arms(
    spec: str, module: Any, grid: Mapping[str, Sequence[str]] | None, trials: int
) -> list[Arm]:
    """Returns the arms of a grid or, without a grid, of the file. See `load`."""
    if not grid:
        return arms_lib.of_file(spec, module, trials)
    if hasattr(module, "sweep") or hasattr(module, "search"):
        raise UserError(
            f"'{split_recipe(spec)[0]}' has arms of its own: leave out --grid, or name "
            "a config file without a function sweep() or search()."
        )
    return grid_lib.arms(grid)


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


def _source(
    spec: str, module: Any, workdir: Path, smoke: bool, overwrite: bool
) -> Run | None:
    """Returns the run whose weights all others start from; None if there is none.

    The experiment's function `source` returns the argument of this run's config,
    `FILE.py:ARG`. See `load` for the arguments.
    """
    if not hasattr(module, "source"):
        return None
    path, argument = split_recipe(spec)
    with config_lib.blamed(spec):
        trained = arms_lib.called(module.source, argument)
    if trained is None:
        return None
    own = f"{path}:{trained}"
    values = config_lib.values_of(own, module)
    recipe = Recipe(own, values, {}, {}, (), smoke, overwrite)
    return recipe.given(SOURCE, workdir / SOURCE, {})


def _named(
    spec: str, module: Any, grid: Mapping[str, Sequence[str]]
) -> tuple[str, str]:
    """Returns the name and the question of an experiment. See `load`."""
    path, argument = split_recipe(spec)
    keys = grid_lib.labels(grid).values()
    name = "-".join(filter(None, [Path(path).stem, argument, *keys]))
    if grid:
        return name, f"What is the effect of {' and '.join(grid)} in {spec}?"
    return name, inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]


def _conclude(spec: str, module: Any) -> Callable[..., str] | None:
    """Returns the file's function `conclude`, whose errors name the file; or None."""
    if not hasattr(module, "conclude"):
        return None

    def conclude(values: Mapping[str, Mapping[int, float]]) -> str:
        with config_lib.blamed(spec):
            return str(module.conclude(values))

    return conclude


def _command(spec, overrides, grid, only, smoke, trials) -> str:
    """Returns the command of a sweep, without the flags for the folder, the launcher
    and the protocol.

    See `load` for the arguments.
    """
    return shell_line(
        [
            *("python", "-m", "cnn_jax.sweep", f"--config={spec}"),
            *(f"--grid={key}={','.join(texts)}" for key, texts in grid.items()),
            *([f"--arms={only}"] if only else []),
            *([f"--trials={trials}"] if trials else []),
            *(["--smoke"] if smoke else []),
            *(f"--config.{key}={text}" for key, text in overrides.items()),
        ]
    )
