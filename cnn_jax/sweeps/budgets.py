"""Gives arms the same cost as their base arms: equal budgets.

An arm with `iso="parameters"`, `"macs"` or `"step_time"` is scaled until its cost is
within 1% of its base arm's cost. The scaled value is the width of the arm's model, or
the config value that the arm names with `solve`:

    yield "3x3", {}
    yield Arm("5x5", {"model.kernel_size": 5}, iso="parameters")
    yield Arm("MLP", {"model.name": "mlp"}, iso="macs", solve="model.hidden")

The solved value becomes a value of the arm. Parameters and multiply-accumulates are
counted in the traced network. Step times are measured when training is about to begin,
and kept in budgets.json in the sweep's folder, so that a sweep that is resumed has the
same arms.
"""

import contextlib
import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import data
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.sweeps import scaling, step_times
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.scaling import Amount, Value
from cnn_jax.sweeps.step_times import Measurement, Timer
from cnn_jax.sweeps.text_table import aligned
from cnn_jax.training import config as config_lib
from cnn_jax.training import freezing, setup
from cnn_jax.training.config import Config

FILE = "budgets.json"
# The attributes of models that set their width.
WIDTHS = ("width", "widths", "width_multiplier", "hidden", "features", "growth_rate")
UNITS = {
    "parameters": "parameters",
    "macs": "multiply-accumulates",
    "step_time": "ms per step",
}
REMEDY = (
    "Take more channels, or solve for a value with finer steps, for example "
    'solve="model.widths".'
)


ConfigOf = Callable[[Mapping[str, Any]], Config]


@dataclass(frozen=True)
class Budget:
    """The solved value of an arm, and the costs of the arm and of its base arm.

    Attributes:
      arm, against: the names of the arm and of its base arm.
      iso: the cost that is equal.
      key: the dotted key of the solved value.
      value: the solved value.
      cost, base_cost: the costs of the arm and of its base arm: numbers of parameters,
        numbers of multiply-accumulates, or milliseconds per training step.
      measurement: the measured step times; None if the cost is no step time.
    """

    arm: str
    against: str
    iso: str
    key: str
    value: Value
    cost: Amount
    base_cost: Amount
    measurement: Measurement | None = None


def solved(
    arms: Sequence[Arm], config_of: ConfigOf, workdir: Path, timer: Timer | None
) -> tuple[tuple[Arm, ...], tuple[Budget, ...]]:
    """Returns the arms with their solved values, and the budgets of these arms.

    Args:
      arms: the arms; a base arm comes before the arms that are compared to it.
      config_of: a function that returns the resolved config of an arm's values.
      workdir: the sweep's folder, which keeps the values of equal step time.
      timer: a function that measures step times. With None, only values that the
        folder keeps are taken.

    Raises:
      UserError: if an arm cannot have the same cost as its base arm, or if a step time
        has to be measured and there is no timer.
    """
    found: dict[str, Arm] = {}
    budgets = []
    for arm in arms:
        if arm.iso is not None:
            assert arm.against is not None  # `arms.of_file` checks this
            with _blamed(arm.against):
                base = config_of(found[arm.against].values)
            with _blamed(arm.name):
                budget = _budget(arm, base, config_of, workdir / FILE, timer)
            budgets.append(budget)
            values = {**arm.values, budget.key: budget.value}
            arm = dataclasses.replace(arm, values=values)
        found[arm.name] = arm
    return tuple(found.values()), tuple(budgets)


@contextlib.contextmanager
def _blamed(arm: str) -> Iterator[None]:
    """Names the arm in errors inside the `with` block, and in errors of tracing."""
    try:
        yield
    except UserError as error:
        raise UserError(f"arm '{arm}': {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(
            f"arm '{arm}': the network does not fit the data: {error}. Change the "
            "model or the size of the images."
        ) from error


def _budget(
    arm: Arm, base: Config, config_of: ConfigOf, file: Path, timer: Timer | None
) -> Budget:
    """Returns the solved value of an arm.

    Args:
      arm: the arm.
      base: the config of the base arm.
      config_of, timer: see `solved`.
      file: the file that keeps the values of equal step time.
    """
    config = config_of(arm.values)
    key = arm.solve or _width(config)
    start = _start(config, key)

    def scaled(value: Value) -> Config:
        return config_of({**arm.values, key: value})

    if arm.iso == "step_time":
        return _timed(arm, key, start, (base, config), scaled, file, timer)
    count = COUNTS[arm.iso or ""]
    target = count(base)
    if not target:
        raise UserError(
            f'iso="{arm.iso}" is not possible, because the base arm {arm.against} has '
            f"no {UNITS[arm.iso or '']}: choose another cost."
        )
    value, cost = scaling.solve(lambda value: count(scaled(value)), target, start)
    budget = Budget(arm.name, str(arm.against), str(arm.iso), key, value, cost, target)
    if not scaling.near(cost, target):
        raise _too_coarse(budget)
    return budget


def _width(config: Config) -> str:
    """Returns the dotted key of a model's width."""
    found = [f"model.{key}" for key in WIDTHS if key in config.model]
    if len(found) == 1:
        return found[0]
    has = " and ".join(found) or "no value with a known name for its width"
    raise UserError(
        f"the model {config.model.name} has {has}: name the value that is scaled, for "
        f'example solve="{found[0] if found else "model.channels"}".'
    )


def _start(config: Config, key: str) -> Value:
    """Returns the value of a key before the value is scaled."""
    group, _, name = key.partition(".")
    if key not in config_lib.flat(config):
        raise unknown("config key of solve", key, config_lib.flat(config))
    value = config[group][name]
    entries = value if isinstance(value, tuple) else (value,)
    kinds = {type(entry) for entry in entries}
    number = kinds == {int} or (kinds == {float} and entries is not value)
    if not number or min(entries) <= 0:
        raise UserError(
            f"solve needs a number, or a tuple of integers, above 0: config.{key} is "
            f"{value!r}. Set a first value in the arm, or solve for another key."
        )
    return value


@functools.lru_cache(maxsize=1024)
def parameters(config: Config) -> int:
    """Returns the number of parameters of a config's network, as in results.json."""
    model, shape = _network(config)
    return sum(map(math.prod, freezing.shapes_of(model, shape).values()))


@functools.lru_cache(maxsize=1024)
def macs(config: Config) -> int:
    """Returns the number of multiply-accumulates for one example in evaluation."""
    return costs.layer_table(*_network(config)).macs


COUNTS = {"parameters": parameters, "macs": macs}


def _network(config: Config) -> tuple[Any, tuple[int, ...]]:
    """Returns the model of a config, and the shape of one input."""
    described = data.describe(config.data.name, **setup.data_options(config))
    model = setup.model_of(config, len(described.classes))
    return model, described.image_shape


def _timed(
    arm: Arm,
    key: str,
    start: Value,
    configs: tuple[Config, Config],
    scaled: Callable[[Value], Config],
    file: Path,
    timer: Timer | None,
) -> Budget:
    """Returns the budget of an arm of equal step time.

    A new budget is written into `file`. Its value is the closest one by the
    measurements of the search. The value is then measured again, because the search
    prefers values with lucky measurements.

    Args:
      arm, file, timer: see `_budget`.
      key: the dotted key of the solved value.
      start: the value before it is scaled.
      configs: the config of the base arm, and the config of the arm before the value is
        scaled.
      scaled: a function that returns the config with another value.
    """
    base, _ = configs
    identity = [key, *map(config_lib.hash_of, configs)]

    def budget(value: Value, found: Measurement) -> Budget:
        names = arm.name, str(arm.against), "step_time"
        times = found.arm.median, found.base.median
        return Budget(*names, key, value, *times, measurement=found)

    if kept := step_times.read(file, arm.name, identity):
        return budget(*kept)
    if timer is None:
        raise UserError(
            f'with iso="step_time", {key} has to be measured, and {file} has no '
            "measured value yet. Start the sweep without --dry_run and --report_only "
            "first."
        )

    def measured(value: Value) -> Measurement:
        found = timer(base, scaled(value))
        print(
            f"arm '{arm.name}': with {key}={value}, a step takes {found.ratio:.1%} of "
            f"the time of {arm.against}",
            file=sys.stderr,
        )
        return found

    value, _ = scaling.solve(
        lambda value: measured(value).ratio, 1.0, start, measured=True
    )
    found = measured(value)
    if not (found.overlaps or scaling.near(found.ratio, 1.0)):
        raise _too_coarse(budget(value, found))
    step_times.write(file, arm.name, identity, value, found)
    return budget(value, found)


def _too_coarse(budget: Budget) -> UserError:
    unit, share = UNITS[budget.iso], budget.cost / budget.base_cost - 1
    return UserError(
        f'iso="{budget.iso}" is not possible to {scaling.TOLERANCE:.0%}: the closest '
        f"value, {budget.key}={budget.value}, has {_number(budget.cost)} {unit}, and "
        f"{budget.against} has {_number(budget.base_cost)} ({share:+.1%}). {REMEDY}"
    )


def _number(cost: Amount) -> str:
    return f"{cost:,}" if isinstance(cost, int) else f"{cost:.4g}"


def section(budgets: Sequence[Budget], format: str) -> list[str]:
    """Returns the paragraphs of a report about equal budgets; none without budgets.

    Args:
      budgets: the budgets of the arms.
      format: a table format of `tabulate`.
    """
    if not budgets:
        return []
    lines = []
    for budget in budgets:
        costs_of = [_number(budget.cost), _number(budget.base_cost)]
        if budget.measurement:
            times = budget.measurement.arm, budget.measurement.base
            costs_of = [f"{t.median:.3g} ({t.low:.3g} to {t.high:.3g})" for t in times]
        lines.append(
            [
                budget.arm,
                UNITS[budget.iso],
                f"{budget.key} = {budget.value}",
                costs_of[0],
                f"{costs_of[1]} ({budget.against})",
                f"{budget.cost / budget.base_cost - 1:+.2%}",
            ]
        )
    headers = ["arm", "equal cost", "solved value", "cost", "base arm", "difference"]
    said = "Equal budgets: these arms are scaled to the cost of their base arms."
    if any(budget.measurement for budget in budgets):
        said += (
            " Step times are medians of measurements in turns, with the 10th and the "
            "90th percentile."
        )
    return [said, aligned(lines, headers, format, left=3)]
