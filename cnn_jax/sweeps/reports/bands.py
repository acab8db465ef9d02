"""Mean curves of arms with bands, and the charts that show the bands in TensorBoard."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnn_jax.sweeps import results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.statistics import paired

# The group of the bands' scalars. Names of splits come before it in the tab Scalars.
BAND_TAGS = "with_band"
KINDS = {
    "range": "mean and range over the seeds",
    "interval": "mean and 95% interval",
}
NOT_IN_TAGS = re.compile(r"[^-/\w.]")  # characters that tensorboardX replaces by "_"
Tags = tuple[str, str, str]


@dataclass(frozen=True)
class Curve:
    """A metric of an arm's complete runs over the steps that all runs logged.

    Attributes:
      steps: the steps, in ascending order.
      values: the values, an array (seeds, steps).
    """

    steps: Sequence[int]
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The mean over the seeds at each step."""
        return self.values.mean(axis=0)

    def band(self, kind: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the lower and the upper end of a band at each step.

        Args:
          kind: "range" for the smallest and the largest value of the seeds, "interval"
            for Student's 95% confidence interval of the mean.

        Returns:
          None for the interval of a single seed.
        """
        if kind == "range":
            return self.values.min(axis=0), self.values.max(axis=0)
        seeds = len(self.values)
        if seeds == 1:
            return None
        # SciPy's statistics take half a second to import.
        from scipy import stats

        error = self.values.std(axis=0, ddof=1) / math.sqrt(seeds)
        reach = stats.t.ppf((1 + paired.CONFIDENCE) / 2, seeds - 1) * error
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class Chart:
    """A chart of a metric, with a line and a band for each of several arms.

    Attributes:
      category: the heading above the chart.
      title: the title of the chart.
      tags: the names of the scalars: mean, lower and upper end of the band.
      metric: the name of the metric.
      kind: the kind of the band; see `Curve.band`.
      arms: the names of the arms.
    """

    category: str
    title: str
    tags: Tags
    metric: str
    kind: str
    arms: Sequence[str]


def curves(rows: Sequence[Row], arm: str) -> dict[str, Curve]:
    """Returns the curve of each metric that all complete runs of an arm logged.

    Runs with a damaged metrics.jsonl are left out.
    """
    logged = results.all_curves(rows, arm)
    seeds = {seed for by_seed in logged.values() for seed in by_seed}
    found = {}
    for name, by_seed in logged.items():
        steps = sorted(set.intersection(*map(set, by_seed.values())))
        if steps and by_seed.keys() == seeds:
            values = [[curve[step] for step in steps] for curve in by_seed.values()]
            found[name] = Curve(steps, np.array(values, np.float64))
    return found


def charts(
    experiment: Experiment,
    found: Mapping[str, Mapping[str, Curve]],
    metrics: Sequence[str],
) -> list[Chart]:
    """Returns the charts of a sweep.

    Args:
      experiment: the experiment.
      found: the curves of each arm, from `curves`.
      metrics: the names of the metrics that are shown with bands. Charts that compare
        an arm to its base arm show the first metric only.
    """
    made = []
    for kind, words in KINDS.items():
        for metric in metrics:
            arms = [
                arm
                for arm, known in found.items()
                if metric in known and known[metric].band(kind)
            ]
            made.append(
                Chart(
                    f"{experiment.name}: all arms",
                    f"{metric}: {words}",
                    _tags(experiment, f"{metric}/{kind}"),
                    metric,
                    kind,
                    arms,
                )
            )
    known = [arm for arm in found if metrics[0] in found[arm]]
    pairs = {
        number: (arm.name, arm.against)
        for number, arm in enumerate(experiment.arms)
        if arm.name in known and arm.against in known
    }
    if len(known) > 2:  # a pair of two arms is in the chart of all arms
        made += [
            Chart(
                f"{experiment.name}: each arm and its base arm",
                f"{arm} and {base}: {metrics[0]}",
                _tags(experiment, f"arm{number}"),
                metrics[0],
                "range",
                (arm, base),
            )
            for number, (arm, base) in pairs.items()
        ]
    return [chart for chart in made if chart.arms]


def _tags(experiment: Experiment, name: str) -> Tags:
    """Returns the tags of a chart, which differ between experiments."""
    group = NOT_IN_TAGS.sub("_", f"{BAND_TAGS}/{experiment.name}/{name}")
    return f"{group}/mean", f"{group}/lower", f"{group}/upper"
