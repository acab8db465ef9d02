"""Summaries of the arms of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnn_jax.sweeps import results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.reports import crossed as crossing
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.statistics import equivalence, paired
from cnn_jax.sweeps.statistics.bootstrap import CrossedDifference
from cnn_jax.sweeps.statistics.paired import Difference
from cnn_jax.sweeps.statistics.pairing import Pairing, pairing


@dataclass(frozen=True)
class Summary:
    """A summary of an arm's complete runs. An arm is compared to its base arm.

    Attributes:
      arm: the name of the arm.
      seeds: the number of complete runs.
      mean, deviation: the mean and the standard deviation of the metric; the deviation
        is None for a single run.
      against: the name of the base arm; None if there is no base arm.
      difference: the difference between the arm and its base arm; None if there is no
        base arm, or if the two arms have no seed in common.
      p_value: the p-value of the difference, corrected for the number of arms.
      crossed: the difference over seeds and test examples; None if the runs do not have
        the same test examples or have no predictions for them.
      uncrossed: why `crossed` is None; "" if there is no reason to name.
      pairing: how similar the runs of both arms with the same seed are; None with few
        seeds.
      others: the mean and the standard deviation of the metric on further splits, such
        as shifted images. The keys are the metric's names on these splits.
      costs: the arm's mean costs, with the keys "parameters", "macs",
        "examples_per_second" and "peak_memory_bytes".
    """

    arm: str
    seeds: int
    mean: float | None
    deviation: float | None
    against: str | None
    difference: Difference | None
    p_value: float | None
    crossed: CrossedDifference | None
    uncrossed: str
    pairing: Pairing | None
    others: dict[str, tuple[float, float | None]]
    costs: dict[str, float]


def summarize(experiment: Experiment, rows: Sequence[Row]) -> list[Summary]:
    """Returns a summary of each arm, in the order of the arms."""
    metric = results.main_metric(experiment)
    values, against = results.by_arm(experiment, rows), experiment.against
    pairs = results.pairs(experiment, rows)
    decisions = equivalence.decide(pairs)
    summaries = []
    for arm, found in values.items():
        others, costs = {}, {}
        for key in results.other_splits(rows, metric):
            if known := list(results.by_seed(rows, arm, key).values()):
                others[key] = float(np.mean(known)), paired.spread(known)
        for key in (*results.COSTS, "peak_memory_bytes"):
            if known := list(results.by_seed(rows, arm, key).values()):
                costs[key] = float(np.mean(known))
        base, decision = against[arm], decisions.get(arm)
        crossed, uncrossed = None, ""
        if base is not None:
            crossed, uncrossed = crossing.difference(rows, arm, base, metric)
        summaries.append(
            Summary(
                arm=arm,
                seeds=len(found),
                mean=float(np.mean(list(found.values()))) if found else None,
                deviation=paired.spread(list(found.values())),
                against=base,
                difference=decision.difference if decision else None,
                p_value=decision.p_value if decision else None,
                crossed=crossed,
                uncrossed=uncrossed,
                pairing=pairing(*pairs[arm]) if arm in pairs else None,
                others=others,
                costs=costs,
            )
        )
    return summaries
