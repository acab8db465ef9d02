"""The arms of an experiment: named settings of its config.

An experiment's file yields its arms from `sweep()`:

    def sweep():
        yield "3x3", {}
        yield "5x5", {"model.kernel_size": 5}
        yield Arm("7x7", {"model.kernel_size": 7}, against="5x5")

A tuple `(name, values)` or `(name, values, against)` is short for an `Arm`.

An arm can have the same cost as its base arm (see `budgets`):

        yield Arm("5x5", {"model.kernel_size": 5}, iso="parameters")

A file with `search(trial)` in place of `sweep()` has two arms: the config as it is, and
the config with the values of the best trial.
"""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import split_recipe
from cnn_jax.training import config as config_lib

SOURCE = "source"  # name and folder of the run whose weights the others start from
SEARCH = "search"  # the folder of the trials of a search
BASELINE = "baseline"  # the config as it is, in a search
FIRST = ""  # as the base of an arm: the first arm of the file
# Names that are valid folder names on every system.
NAME = re.compile(r"[\w(][\w .,+x()=%-]*(?<! )(?<!\.)")
ISO = ("parameters", "macs", "step_time")  # costs that can be equal
# The config keys that an arm tunes, with or without their ranges, or a function.
Tune = Sequence[str] | Mapping[str, Any] | Callable[[Any], Any]


@dataclass(frozen=True)
class Arm:
    """An arm of an experiment: one setting of the config.

    Attributes:
      name: the arm's name.
      values: the config values that the arm sets, by dotted key.
      against: the name of the base arm, which this arm is compared to. None if this arm
        is not compared. The default is the file's first arm.
      iso: the cost in which this arm equals its base arm, to 1%: "parameters", "macs"
        (multiply-accumulates) or "step_time". None: the costs may differ.
      solve: the dotted key of the value that is scaled until the costs are equal. None:
        the width of the model.
      tune: the config keys whose values are searched on the validation split before the
        arm is trained: a tuple of keys, or a dict with a range for each key, such as
        {"optimizer.momentum": (0.5, 0.99)}. A function takes a trial of Optuna and
        returns config values.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = FIRST
    iso: str | None = None
    solve: str | None = None
    tune: Tune = ()


def of_file(spec: str, module: Any, trials: int) -> list[Arm]:
    """Returns the arms of an experiment's file, after checking them.

    Args:
      spec: the file, `PATH.py` or `PATH.py:ARG`.
      module: the module of the file.
      trials: the number of trials of a search.

    Raises:
      UserError: if `sweep()` is missing, fails, or yields something else than arms.
    """
    path, argument = split_recipe(spec)
    if hasattr(module, "search"):
        if hasattr(module, "sweep"):
            raise UserError(
                f"'{path}' has both sweep() and search(trial): remove one of the two."
            )
        tune = functools.partial(called, module.search, argument)
        found = f"best of {trials} trial{'s' * (trials != 1)}"
        return [Arm(BASELINE, {}, None), Arm(found, {}, BASELINE, tune=tune)]
    if not hasattr(module, "sweep"):
        raise UserError(
            f"'{path}' is a config but no experiment: the file has no function "
            "sweep(). Add a function sweep() that yields the arms, as in "
            '`yield "name", {"model.head": "gap"}`, or give values of a config key '
            "with --grid."
        )
    with config_lib.blamed(spec):
        yielded = list(called(module.sweep, argument))
    if not yielded:
        raise UserError(f"sweep() of '{path}' yields no arm: yield at least one.")
    arms: list[Arm] = []
    for one in yielded:
        arms.append(_checked(_arm(one, path), [arm.name for arm in arms], path))
    _check_tuned(arms, path)
    return arms


def _arm(yielded: Any, path: str) -> Arm:
    """Returns what `sweep()` yields as an `Arm`.

    Args:
      yielded: an arm, or a tuple.
      path: the experiment's file.
    """
    if isinstance(yielded, tuple) and len(yielded) in (2, 3):
        yielded = Arm(*yielded)
    if not (
        isinstance(yielded, Arm)
        and isinstance(yielded.name, str)
        and isinstance(yielded.values, Mapping)
    ):
        raise UserError(
            f"sweep() of '{path}' yields {yielded!r}. For each arm, yield a name, a "
            "dict of config values and, optionally, the name of the arm to compare "
            "to (default: the first arm)."
        )
    return yielded


def _checked(arm: Arm, earlier: Sequence[str], path: str) -> Arm:
    """Returns an arm with the name of its base arm, after checking the arm.

    Args:
      arm: the arm.
      earlier: the names of the arms before.
      path: the experiment's file.
    """
    name, against = arm.name, arm.against
    if against == FIRST:
        against = earlier[0] if earlier else None
    elif against is not None and against not in earlier:
        raise UserError(
            f"sweep() of '{path}' compares arm '{name}' to '{against}', but no "
            f"earlier arm is called '{against}': yield '{against}' before '{name}'."
        )
    if not NAME.fullmatch(name):
        raise UserError(
            f"sweep() of '{path}': the arm's name '{name}' cannot be the name of a "
            "folder: use only letters, digits, spaces and . , + - _ = % ( )."
        )
    if name in earlier:
        raise UserError(
            f"sweep() of '{path}' yields two arms called '{name}': rename one arm."
        )
    if "seed" in arm.values:
        raise UserError(
            f"arm '{name}' sets the seed, but a sweep sets the seed of each run: "
            "leave out the seed, and use --seeds=0,1,2."
        )
    if name == SOURCE:
        raise UserError(
            f"sweep() of '{path}' calls an arm '{SOURCE}', but this name is "
            "reserved for the run that all arms start from: rename the arm."
        )
    arm = dataclasses.replace(arm, values=dict(arm.values), against=against)
    _check_iso(arm, path)
    return arm


def _check_iso(arm: Arm, path: str) -> None:
    """Raises `UserError` if `iso` or `solve` of an arm makes no sense."""
    if arm.iso is None:
        if arm.solve is not None:
            raise UserError(
                f"sweep() of '{path}': arm '{arm.name}' has solve={arm.solve!r} "
                'without iso: set iso, for example iso="parameters", or leave out '
                "solve."
            )
        return
    if arm.iso not in ISO:
        raise UserError(
            f"sweep() of '{path}': arm '{arm.name}' has iso={arm.iso!r}: set iso to "
            f"one of {', '.join(ISO)}."
        )
    if arm.against is None:
        raise UserError(
            f"sweep() of '{path}': arm '{arm.name}' has iso={arm.iso!r}, but no base "
            "arm whose cost it could equal: set against to the name of an earlier arm."
        )


def _check_tuned(arms: Sequence[Arm], path: str) -> None:
    """Raises UserError if a tuned arm and an arm that is not tuned are compared.

    Args:
      arms: the arms.
      path: the experiment's file.
    """
    tuned = {arm.name: bool(arm.tune) for arm in arms}
    for arm in arms:
        known = callable(arm.tune) or isinstance(arm.tune, Mapping | Sequence)
        if isinstance(arm.tune, str) or not known:
            raise UserError(
                f"sweep() of '{path}': arm '{arm.name}' has tune={arm.tune!r}: write "
                'a tuple of keys, ("optimizer.learning_rate",), or a dict of ranges.'
            )
        if arm.against and tuned[arm.name] != tuned[arm.against]:
            names = sorted((arm.name, arm.against), key=lambda name: not tuned[name])
            raise UserError(
                f"sweep() of '{path}' tunes arm '{names[0]}', but not arm "
                f"'{names[1]}', which it is compared with: set tune=... in both arms."
            )
    if any(tuned.values()) and SEARCH in tuned:
        raise UserError(
            f"sweep() of '{path}' calls an arm '{SEARCH}', but the folder of this name "
            "holds the trials of the tuned arms: rename the arm."
        )


def called(function: Any, argument: str, *first: Any) -> Any:
    """Calls a function of the experiment's file.

    The file's argument is passed if it is not empty and the function has a parameter
    for it, after the parameters for `first`.
    """
    takes = len(inspect.signature(function).parameters) > len(first)
    return function(*first, argument) if takes and argument else function(*first)


def chosen(arms: Sequence[Arm], only: str | None) -> list[Arm]:
    """Returns the arms that `only` selects, together with their base arms.

    Args:
      arms: the arms of the experiment's file.
      only: a regular expression that matches names of arms; None selects all arms.
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
