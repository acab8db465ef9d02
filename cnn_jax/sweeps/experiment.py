"""Reads an experiment's file: a config, and arms that each change the config."""

import functools
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import split_recipe
from cnn_jax.runs import resolve, run_folder
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config

SEEDS = (0, 1, 2)
SOURCE = "source"  # name and folder of the run whose weights the others start from
# Names that are valid folder names on every system.
ARM_NAME = re.compile(r"[\w(][\w .,+x()=%-]*(?<! )(?<!\.)")
# The first and the second parts of the names of crossed arms.
Grid = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Arm:
    """An arm of an experiment: one setting of the config.

    Attributes:
      name: the arm's name.
      values: the config values that the arm sets, by dotted key.
      against: the name of the base arm, which this arm is compared to; None if this arm
        is not compared.
    """

    name: str
    values: Mapping[str, Any]
    against: str | None


@dataclass(frozen=True)
class Run:
    """A run of an arm with a seed, in its own folder.

    Attributes:
      arm: the name of the arm.
      seed: the seed.
      config: the resolved config.
      workdir: the run's folder.
      command: the command that trains or resumes the run.
    """

    arm: str
    seed: int
    config: Config
    workdir: Path
    command: tuple[str, ...]

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
      name: the name of the experiment's file, with the argument of `FILE.py:ARG`.
      question: the first paragraph of the file's docstring.
      command: the command that repeats the sweep.
      arms: the arms.
      runs: the runs of all arms, without the source run.
      source: the source run, whose weights all other runs start from; None if the
        experiment has no source run. The command line's config values do not apply to
        the source run.
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
    seeds: Sequence[int] = SEEDS,
    only: str | None = None,
    smoke: bool = False,
    overwrite: bool = False,
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

    Raises:
      UserError: if the file is no experiment, an arm sets a key that nothing reads, or
        `only` matches no arm.
    """
    module = config_lib.load_module(spec)
    values = config_lib.values_of(spec, module)
    arms = _arms(spec, module)
    path, argument = split_recipe(spec)
    run_of = functools.partial(_run_of, smoke=smoke, overwrite=overwrite)
    source, shared = None, dict(overrides)
    # Weights that the user names replace the source run.
    trained = None if "model.init_from" in overrides else _trained(spec, module)
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
    seeded = ("seed", *getattr(module, "SEEDED", ()))
    chosen, runs = _chosen(arms, only), []
    for arm in chosen:
        texts = shared | {k: as_text(v) for k, v in arm.values.items()}
        for seed in seeds:
            place = workdir / arm.name / f"seed{seed}"
            given = texts | dict.fromkeys(seeded, str(seed))
            try:
                runs.append(run_of(spec, values, arm.name, place, given))
            except UserError as error:
                raise UserError(f"arm '{arm.name}': {error}") from error
    question = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]
    return Experiment(
        name="-".join(filter(None, [Path(path).stem, argument])),
        question=question,
        command=_command(spec, overrides, seeds, only, smoke),
        arms=tuple(chosen),
        runs=tuple(runs),
        source=source,
        conclude=_conclude(spec, module),
    )


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
        return _called(module.source, split_recipe(spec)[1])


def _conclude(spec: str, module: Any) -> Callable[..., str] | None:
    """Returns the file's function `conclude`, whose errors name the file; or None."""
    if not hasattr(module, "conclude"):
        return None

    def conclude(values: Mapping[str, Mapping[int, float]]) -> str:
        with config_lib.blamed(spec):
            return str(module.conclude(values))

    return conclude


def _command(spec, overrides, seeds, only, smoke) -> str:
    """Returns the command of a sweep, without the flags for the folder and launcher.

    See `load` for the arguments.
    """
    return shell_line(
        [
            *("python", "-m", "cnn_jax.sweep", f"--config={spec}"),
            *([f"--arms={only}"] if only else []),
            *([f"--seeds={','.join(map(str, seeds))}"] if seeds != SEEDS else []),
            *(["--smoke"] if smoke else []),
            *(f"--config.{key}={text}" for key, text in overrides.items()),
        ]
    )


def _arms(spec: str, module: Any) -> list[Arm]:
    """Returns the arms of an experiment's file, after checking them.

    Args:
      spec: the file, `PATH.py` or `PATH.py:ARG`.
      module: the module of the file.
    """
    path, argument = split_recipe(spec)
    if not hasattr(module, "sweep"):
        raise UserError(
            f"'{path}' is a config but no experiment: the file has no function "
            "sweep(). Add a function sweep() that yields the arms, as in "
            '`yield "name", {"model.head": "gap"}`.'
        )
    with config_lib.blamed(spec):
        found = list(_called(module.sweep, argument))
    arms: list[Arm] = []
    for pair in found:
        well_formed = (
            isinstance(pair, tuple)
            and len(pair) in (2, 3)
            and isinstance(pair[0], str)
            and isinstance(pair[1], Mapping)
        )
        if not well_formed:
            raise UserError(
                f"sweep() of '{path}' yields {pair!r}. For each arm, yield a name, a "
                "dict of config values and, optionally, the name of the arm to compare "
                "to (default: the first arm)."
            )
        name, values, *given = pair
        if not ARM_NAME.fullmatch(name):
            raise UserError(
                f"sweep() of '{path}': the arm's name '{name}' cannot be the name of a "
                "folder: use only letters, digits, spaces and . , + - _ = % ( )."
            )
        names = [arm.name for arm in arms]
        if name in names:
            raise UserError(
                f"sweep() of '{path}' yields two arms called '{name}': rename one arm."
            )
        against = given[0] if given else next(iter(names), None)
        if given and against is not None and against not in names:
            raise UserError(
                f"sweep() of '{path}' compares arm '{name}' to '{against}', but no "
                f"earlier arm is called '{against}': yield '{against}' before '{name}'."
            )
        if "seed" in values:
            raise UserError(
                f"arm '{name}' sets the seed, but a sweep sets the seed of each run: "
                "leave out the seed, and use --seeds=0,1,2."
            )
        if name == SOURCE:
            raise UserError(
                f"sweep() of '{path}' calls an arm '{SOURCE}', but this name is "
                "reserved for the run that all arms start from: rename the arm."
            )
        arms.append(Arm(name, dict(values), against))
    if not arms:
        raise UserError(f"sweep() of '{path}' yields no arm: yield at least one.")
    return arms


def _called(function: Any, argument: str) -> Any:
    """Calls a function of the experiment's file.

    The file's argument is passed if it is not empty and the function has a parameter.
    """
    takes = bool(inspect.signature(function).parameters)
    return function(argument) if takes and argument else function()


def _chosen(arms: Sequence[Arm], only: str | None) -> list[Arm]:
    """Returns the arms that `only` selects, together with their base arms.

    See `load` for the meaning of `only`.
    """
    if only is None:
        return list(arms)
    try:
        pattern = re.compile(only)
    except re.error as error:
        raise UserError(f"--arms={only} is no regular expression: {error}.") from error
    matching = [arm for arm in arms if pattern.search(arm.name)]
    if not matching:
        names = ", ".join(arm.name for arm in arms)
        raise UserError(f"--arms={only} matches no arm. Known: {names}.")
    against = {arm.name: arm.against for arm in arms}
    wanted: set[str] = set()
    for arm in matching:
        name: str | None = arm.name
        while name is not None and name not in wanted:
            wanted.add(name)
            name = against[name]
    return [arm for arm in arms if arm.name in wanted]


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
