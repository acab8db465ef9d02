"""The spaces of searches: the config values that a trial sets, and their ranges."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.searches import study
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config

FACTOR = 10  # from a tuned value to the ends of its range
# Keys whose values are proposed on a logarithmic scale, and which have a range without
# being asked.
LOGARITHMIC = ("optimizer.learning_rate", "optimizer.weight_decay")

Range = tuple[int | float, int | float]
# Takes a trial of Optuna, and returns the config values of the trial by dotted key.
Suggest = Callable[[Any], dict[str, Any]]


def suggestions(arm: Arm, config: Config, spec: str) -> Suggest:
    """Returns the function that asks a trial for the values of an arm.

    Args:
      arm: the arm; its `tune` says what is searched.
      config: the config of the arm, with the arm's own values.
      spec: the experiment's file, `PATH.py` or `PATH.py:ARG`.

    Raises:
      UserError: if `tune` names no keys, or keys without a range. The returned function
        raises it if the user's function fails or returns something else than values.
    """
    tune = arm.tune
    if not callable(tune):
        found = ranges(arm, config)
        whole = {key for key, ends in found.items() if _whole(key, ends, config)}
        return lambda trial: {
            key: _suggested(trial, key, ends, key in whole)
            for key, ends in found.items()
        }

    def asked(trial: Any) -> dict[str, Any]:
        with config_lib.blamed(spec), study.strict():
            values = tune(trial)
        values = trial.params if values is None else values
        if not isinstance(values, Mapping) or not values:
            raise UserError(
                f"search(trial) of '{spec}' returns {values!r}: return config values, "
                'as in {"model.width": trial.suggest_int("width", 4, 32)}.'
            )
        if "seed" in values:
            raise UserError(
                f"search(trial) of '{spec}' sets the seed, but a search sets the seed "
                "of each run: leave out the seed."
            )
        return {str(key): _plain(value) for key, value in values.items()}

    return asked


def ranges(arm: Arm, config: Config) -> dict[str, Range]:
    """Returns the range of each key that an arm tunes.

    Args:
      arm: the arm.
      config: the config of the arm, with the arm's own values.

    Raises:
      UserError: if a key is unknown, or has no range.
    """
    flat, found = config_lib.flat(config), {}
    assert not callable(arm.tune)  # a function knows its own ranges
    for key in arm.tune:
        if key not in flat or key == "seed":
            raise unknown(f"config key in tune of arm '{arm.name}'", str(key), flat)
        ends = arm.tune[key] if isinstance(arm.tune, Mapping) else None
        if ends is None:
            found[key] = _around(arm, key, flat[key])
        elif _is_range(ends):
            found[key] = tuple(ends)
        else:
            raise UserError(
                f"arm '{arm.name}' tunes {key} in {ends!r}: set a range, as in "
                f'tune={{"{key}": (0.1, 0.5)}}.'
            )
    return found


def _around(arm: Arm, key: str, value: Any) -> Range:
    """Returns the range around the arm's own value of a key."""
    if key not in LOGARITHMIC or not value:
        raise UserError(
            f"arm '{arm.name}' tunes {key}, which is {value!r} and has no range of its "
            f'own: set one, as in tune={{"{key}": (0.1, 0.5)}}.'
        )
    return value / FACTOR, value * FACTOR


def _is_range(ends: Any) -> bool:
    return (
        isinstance(ends, tuple | list)
        and len(ends) == 2
        and all(type(end) in (int, float) for end in ends)
        and ends[0] < ends[1]
    )


def _whole(key: str, ends: Range, config: Config) -> bool:
    """Returns whether the values of a key are whole numbers."""
    value = config_lib.flat(config)[key]
    return type(value) is not float and all(type(end) is int for end in ends)


def _suggested(trial: Any, key: str, ends: Range, whole: bool) -> int | float:
    low, high = ends
    if whole:
        return trial.suggest_int(key, low, high)
    return trial.suggest_float(key, low, high, log=key in LOGARITHMIC and low > 0)


def _plain(value: Any) -> Any:
    """Returns a value of NumPy as a value of Python."""
    return value.item() if isinstance(value, np.generic) else value
