"""The pilot of a sweep: a few seeds of each arm, to plan the number of seeds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np

from cnn_jax.sweeps import results, units
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.protocol import in_metric
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.statistics import paired, planning, sequential
from cnn_jax.sweeps.text_table import aligned

SEEDS = 3  # of a pilot, if no more exist
HEADERS = ("arm", "to", "pilot", "deviation", "upper bound", "seeds", "time of a run")


def chosen(experiment: Experiment) -> Experiment:
    """Returns the experiment with the runs of a pilot.

    The pilot has the seeds that are complete in all arms. If they are fewer than three,
    the pilot has the first three seeds.
    """
    done = {
        (row.run.arm, row.run.seed)
        for row in results.read(experiment)
        if row.outcome.status == "done"
    }
    seeds = list(dict.fromkeys(run.seed for run in experiment.runs))
    used = [s for s in seeds if all((arm.name, s) in done for arm in experiment.arms)]
    if len(used) < SEEDS:
        used = seeds[:SEEDS]
    runs = tuple(run for run in experiment.runs if run.seed in used)
    return dataclasses.replace(experiment, runs=runs)


def paragraphs(
    experiment: Experiment, rows: Sequence[Row], detect: float, format: str
) -> list[str]:
    """Returns the number of seeds that each arm and the sweep need, and their time.

    Args:
      experiment: the experiment.
      rows: the results of the pilot's runs.
      detect: the true difference that the sweep should find, in percentage points for
        shares and otherwise in the unit of the metric.
      format: a table format of `tabulate`.
    """
    metric, size = results.main_metric(experiment), in_metric(experiment, detect)
    against = experiment.against
    pairs = results.pairs(experiment, rows)
    lines, bounds, seconds = [], [], _seconds(experiment, rows)
    for arm, pair in pairs.items():
        found = paired.differences(*pair)
        bound = planning.upper_deviation(*pair)
        line = [arm, str(against[arm]), str(len(found)), "", "", "unknown", ""]
        if (deviation := paired.spread(found)) and bound:
            line[3] = units.amount(metric, deviation)
            line[4] = units.amount(metric, bound)
            plan = planning.plan(size, bound, arms=len(pairs))
            line[5] = f"{plan.seeds:,}" if plan else f"more than {planning.MOST:,}"
            bounds.append(bound)
        if arm in seconds:
            line[6] = _duration(seconds[arm])
        lines.append(line)
    said = aligned(lines, HEADERS, format, left=2)
    many = f"{len(pairs)} compared arm{'s' * (len(pairs) != 1)}"
    heading = (
        f"Seeds to detect a difference of {units.amount(metric, size)} with a "
        f"probability of {planning.POWER:.0%}, among {many}. A "
        "deviation is the standard deviation of the differences between paired runs. "
        f"The seeds are planned from its upper bound ({planning.CONFIDENCE:.0%} "
        "confidence):"
    )
    if not bounds:
        return [heading, said]
    return [heading, said, _advice(experiment, rows, size, max(bounds), len(pairs))]


def _advice(
    experiment: Experiment, rows: Sequence[Row], size: float, bound: float, arms: int
) -> str:
    """Returns the flags of the planned sweep and the time of its runs.

    Args:
      experiment, rows: see `paragraphs`.
      size: the difference to detect, in the unit of the metric.
      bound: the largest upper bound of a standard deviation.
      arms: the number of compared arms.
    """
    plan = planning.plan(size, bound, arms=arms)
    looks = planning.plan(size, bound, arms=arms, looks=sequential.LOOKS)
    if plan is None or looks is None:
        return (
            f"An arm needs more than {planning.MOST:,} seeds, so no sweep of all arms "
            "is planned: choose a larger difference, or leave out this arm."
        )
    metric, seconds = results.main_metric(experiment), _seconds(experiment, rows)
    left = {
        arm.name: max(plan.seeds - len(results.by_seed(rows, arm.name, metric)), 0)
        for arm in experiment.arms
    }
    time = sum(count * seconds.get(arm, math.nan) for arm, count in left.items())
    more = f"{sum(left.values())} more runs"
    if not math.isnan(time):
        more += f", {_duration(time)} of training"
    return (
        f"For all arms: `--seeds={plan.seeds}` ({more}), or looks that may stop "
        f"earlier: `--until=decided --max_seeds={looks.seeds}`."
    )


def _seconds(experiment: Experiment, rows: Sequence[Row]) -> Mapping[str, float]:
    """Returns the mean training time of a run of each arm with complete runs."""
    found = {
        arm.name: list(results.by_seed(rows, arm.name, "train_seconds").values())
        for arm in experiment.arms
    }
    return {arm: float(np.mean(times)) for arm, times in found.items() if times}


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=math.ceil(seconds)))
