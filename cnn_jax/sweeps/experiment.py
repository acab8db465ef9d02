"""An experiment's file: a config, and the arms that change it."""

import functools
import inspect
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import split_recipe
from cnn_jax.runs import resolve, run_folder
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config

SEEDS = (0, 1, 2)
SOURCE = "source"  # the name and the folder of the run that the others start from
# What makes a folder's name on every system.
ARM_NAME = re.compile(r"[\w(][\w .,+x()=%-]*(?<! )(?<!\.)")
# The two parts of the names of crossed arms.
Grid = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Arm:
    """One way to set the config.

    Attributes:
      values: what differs, by dotted key.
      against: the arm that it is compared to; None: it is compared to no other.
    """

    name: str
    values: Mapping[str, Any]
    against: str | None


@dataclass(frozen=True)
class Run:
    """A run of an arm with a seed, in a folder of its own.

    Attributes:
      command: what trains it, to the end or from where it was ended.
    """

    arm: str
    seed: int
    config: Config
    workdir: Path
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run's name on the console."""
        return self.arm if self.is_source else f"{self.arm}/seed{self.seed}"

    @property
    def is_source(self) -> bool:
        """Whether the other runs start from this one's weights."""
        return self.arm == SOURCE


@dataclass(frozen=True)
class Experiment:
    """The runs of a sweep, arm by arm.

    Attributes:
      name: of its file, and the argument.
      question: the first paragraph of the file's docstring.
      command: what makes such a sweep.
      source: the run whose weights the others start from, if there is one; of the
        command line's values it has none.
    """

    name: str
    question: str
    command: str
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    source: Run | None = None

    @property
    def grid(self) -> Grid | None:
        """The A and the B of arms called `A, B` for every A and every B."""
        pairs = [arm.name.split(", ") for arm in self.arms]
        if any(len(pair) != 2 for pair in pairs):
            return None
        rows = tuple(dict.fromkeys(row for row, _ in pairs))
        columns = tuple(dict.fromkeys(column for _, column in pairs))
        crossed = len(rows) * len(columns) == len(pairs)
        return (rows, columns) if crossed and min(len(rows), len(columns)) > 1 else None

    @property
    def in_order(self) -> tuple[Run, ...]:
        """All runs, the one that the others start from first."""
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
    """The experiment of a file, `PATH.py` or `PATH.py:ARG`.

    Args:
      workdir: the sweep's folder; a run's is `<workdir>/<arm>/seed<k>`.
      overrides: of the config, for all arms: `{"train.epochs": "5"}`.
      only: a regular expression: the arms whose name it is found in, and those that
        they are compared to.
      smoke: a few steps on a few embedded examples each.
      overwrite: runs start anew.

    Raises:
      UserError: the file is no experiment, an arm sets what nothing reads, or `only`
        matches none.
    """
    module = config_lib.load_module(spec)
    values = config_lib.values_of(spec, module)
    arms = _arms(spec, module)
    path, argument = split_recipe(spec)
    run_of = functools.partial(_run_of, smoke=smoke, overwrite=overwrite)
    source, shared = None, dict(overrides)
    # The user's weights take the place of the run that would make some.
    trained = None if "model.init_from" in overrides else _trained(spec, module)
    if trained is not None:
        own = f"{path}:{trained}"
        own_values = config_lib.values_of(own, module)
        source = run_of(own, own_values, SOURCE, workdir / SOURCE, {})
        shared["model.init_from"] = str(source.workdir)
    for arm in arms:
        if both := sorted(arm.values.keys() & overrides.keys()):
            raise UserError(
                f"arm '{arm.name}' sets {both[0]}: leave out --config.{both[0]}."
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
      values: of the config file `spec`.
      given: the values that the arm, the seed and the command line set.

    Raises:
      UserError: the arm sets what nothing reads, or a value out of its range.
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
    """Returns the argument of the config whose run the others start from, if any."""
    if not hasattr(module, "source"):
        return None
    with config_lib.blamed(spec):
        return _called(module.source, split_recipe(spec)[1])


def _command(spec, overrides, seeds, only, smoke) -> str:
    """The sweep's own command, without what only says where and how it runs."""
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
    path, argument = split_recipe(spec)
    if not hasattr(module, "sweep"):
        raise UserError(
            f"'{path}' is a config but no experiment: it has no function sweep() that "
            'yields its arms, as in `yield "name", {"model.head": "gap"}`.'
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
                f"sweep() of '{path}' must yield a name, a dict of config values and, "
                "if it is not to be compared to the first arm, the name of another "
                f"one; got {pair!r}."
            )
        name, values, *given = pair
        if not ARM_NAME.fullmatch(name):
            raise UserError(
                f"sweep() of '{path}': the arm's name '{name}' cannot be a folder's: "
                "use letters, digits, spaces and . , + - _ = % ( )."
            )
        names = [arm.name for arm in arms]
        if name in names:
            raise UserError(f"sweep() of '{path}' yields two arms called '{name}'.")
        against = given[0] if given else next(iter(names), None)
        if given and against is not None and against not in names:
            raise UserError(
                f"sweep() of '{path}' compares '{name}' to '{against}', which is no "
                "arm before it."
            )
        if "seed" in values:
            raise UserError(f"arm '{name}' sets the seed, which every arm shares.")
        if name == SOURCE:
            raise UserError(
                f"sweep() of '{path}': an arm cannot be called '{SOURCE}', as the run "
                "that arms start from is."
            )
        arms.append(Arm(name, dict(values), against))
    if not arms:
        raise UserError(f"sweep() of '{path}' yields no arm.")
    return arms


def _called(function: Any, argument: str) -> Any:
    """What a function of the file says of its argument, if it takes one."""
    takes = bool(inspect.signature(function).parameters)
    return function(argument) if takes and argument else function()


def _chosen(arms: Sequence[Arm], only: str | None) -> list[Arm]:
    if only is None:
        return list(arms)
    try:
        pattern = re.compile(only)
    except re.error as error:
        raise UserError(f"--arms={only} is no regular expression: {error}.") from error
    matching = [arm for arm in arms if pattern.search(arm.name)]
    if not matching:
        names = ", ".join(arm.name for arm in arms)
        raise UserError(f"--arms={only} matches no arm; there are: {names}.")
    # And what these are compared to.
    against = {arm.name: arm.against for arm in arms}
    wanted: set[str] = set()
    for arm in matching:
        name: str | None = arm.name
        while name is not None and name not in wanted:
            wanted.add(name)
            name = against[name]
    return [arm for arm in arms if arm.name in wanted]


def as_text(value: Any) -> str:
    """A config value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def incomplete(runs: Sequence[Run]) -> list[Run]:
    """The runs that are still to be done, or to be done to the end.

    Raises:
      UserError: a run's folder holds one of another config, so its arm is not what it
        was: the keys that differ are named.
    """
    missing = []
    for run in runs:
        try:
            begun = run_folder.begun(run.workdir, run.config)
        except UserError as error:
            raise UserError(f"arm '{run.arm}' has changed: {error}") from error
        if begun is None or begun.results is None:  # training mends damaged results
            missing.append(run)
    return missing


def shell_line(command: Sequence[str]) -> str:
    """The command as a shell takes it."""
    return shlex.join(command)
