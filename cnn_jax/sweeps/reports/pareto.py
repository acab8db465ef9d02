"""Pareto fronts: the arms for which no other arm is both better and cheaper.

An arm is on the front if no other arm is at least as good in the metric and in the cost
and better in one of the two. The front of the measured means is uncertain, because the
means are. Therefore each arm has a probability of being on the front, by the bootstrap.
An arm that was scaled to the cost of its base arm (see `budgets`) counts as equally
expensive, although its cost may differ by 1%.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cnn_jax.core import names
from cnn_jax.sweeps import results, units
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.statistics.paired import CONFIDENCE, spread
from cnn_jax.sweeps.text_table import aligned

RESAMPLES = 10_000
SEED = 0
LOGARITHMIC = 10  # ratio of the largest to the smallest cost for a logarithmic axis
SHIFT = 0.015  # between arms of the same cost, as a share of the axis
MARKERS = ("o", "s", "^", "D")  # colors repeat after ten arms


@dataclass(frozen=True)
class Cost:
    """A cost of a run.

    Attributes:
      label: the name of the cost on an axis.
      header: the name of the cost in a table.
      of: a function that returns the cost of a complete run; None if it is unknown.
    """

    label: str
    header: str
    of: Callable[[Row], float | None]


def _step_ms(row: Row) -> float | None:
    """Returns the milliseconds of a training step, from the examples per second."""
    speed = row.results.get("examples_per_second")
    return 1e3 * row.run.config.data.batch_size / speed if speed else None


COSTS = {
    "parameters": Cost(
        "parameters", "parameters", lambda r: r.results.get("parameters")
    ),
    "macs": Cost(
        "multiply-accumulates on one example", "MACs", lambda r: r.results.get("macs")
    ),
    "step_time": Cost("milliseconds per training step", "ms/step", _step_ms),
}


@dataclass(frozen=True)
class Point:
    """An arm's metric and cost.

    Attributes:
      arm: the name of the arm.
      place: the number of the arm in the experiment.
      metric, cost: the means over the seeds.
      metric_reach, cost_reach: the half-widths of the means' 95% intervals (Student);
        None with one seed.
      on_front: whether the means are on the Pareto front.
      probability: the probability of being on the front; None if the arms have fewer
        than two seeds in common.
    """

    arm: str
    place: int
    metric: float
    cost: float
    metric_reach: float | None
    cost_reach: float | None
    on_front: bool
    probability: float | None


def fronts(experiment: Experiment, rows: Sequence[Row]) -> dict[str, list[Point]]:
    """Returns the arms' points for each cost that differs between arms.

    The keys are those of `COSTS`. Arms without complete runs are left out.
    """
    metric, found = results.main_metric(experiment), {}
    for name, cost in COSTS.items():
        known: dict[str, dict[int, tuple[float, float]]] = {}
        for row in rows:
            value = row.results.get(metric)
            if value is not None and (amount := cost.of(row)) is not None:
                pair = float(value), float(amount)
                known.setdefault(row.run.arm, {})[row.run.seed] = pair
        places = {arm.name: i for i, arm in enumerate(experiment.arms)}
        equal = {b.arm: b.against for b in experiment.budgets if b.iso == name}
        points = _points(known, places, equal)
        if len({point.cost for point in points}) > 1:
            found[name] = points
    return found


def _points(
    known: Mapping[str, Mapping[int, tuple[float, float]]],
    places: Mapping[str, int],
    equal: Mapping[str, str],
) -> list[Point]:
    """Returns the points of arms.

    Args:
      known: the metric and the cost of each run, by arm and seed.
      places: the number of each arm.
      equal: the base arm of each arm that was scaled to its base arm's cost.
    """
    if not known:
        return []
    tables = {arm: np.array(list(runs.values())).T for arm, runs in known.items()}
    means = np.array([table.mean(axis=1) for table in tables.values()])
    payers = []  # for each arm, the number of the arm whose cost counts
    for arm in known:
        while equal.get(arm) in known:
            arm = equal[arm]
        payers.append(list(known).index(arm))
    front = on_front(means[:, 0], means[payers, 1])
    common = sorted(set.intersection(*(set(runs) for runs in known.values())))
    chances: Sequence[float | None] = [None] * len(known)
    if len(common) > 1:
        paired = np.array([[runs[seed] for seed in common] for runs in known.values()])
        chances = [
            float(p) for p in probabilities(paired[..., 0], paired[payers, :, 1])
        ]
    return [
        Point(
            arm=arm,
            place=places[arm],
            metric=float(means[i, 0]),
            cost=float(means[i, 1]),
            metric_reach=_reach(tables[arm][0]),
            cost_reach=_reach(tables[arm][1]),
            on_front=bool(front[i]),
            probability=chances[i],
        )
        for i, arm in enumerate(known)
    ]


def _reach(values: NDArray[np.float64]) -> float | None:
    """Returns the half-width of the 95% interval of a mean; None for one value."""
    deviation, n = spread(values), len(values)
    if deviation is None:
        return None
    return (
        float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(n)
    )


def on_front(metric: ArrayLike, cost: ArrayLike) -> NDArray[np.bool_]:
    """Returns for each arm whether it is on the Pareto front.

    Args:
      metric: the metric of each arm, [..., arms]; higher is better.
      cost: the cost of each arm, with the same shape; lower is better.
    """
    m, c = np.asarray(metric), np.asarray(cost)
    front = np.ones(m.shape, bool)
    for other in range(m.shape[-1]):
        theirs, price = m[..., other : other + 1], c[..., other : other + 1]
        better = (theirs > m) | (price < c)
        front &= ~((theirs >= m) & (price <= c) & better)
    return front


def probabilities(metric: ArrayLike, cost: ArrayLike) -> NDArray[np.float64]:
    """Returns each arm's probability of being on the front, by the bootstrap.

    The seeds are resampled jointly for all arms, because runs with the same seed see
    the same examples. The resamples are always the same.

    Args:
      metric: the metric of each run, [arms, seeds].
      cost: the cost of each run, with the same shape.
    """
    m, c = np.asarray(metric, np.float64), np.asarray(cost, np.float64)
    seeds = m.shape[1]
    drawn = np.random.default_rng(SEED).integers(seeds, size=(RESAMPLES, seeds))
    means = m[:, drawn].mean(-1).T
    # The mean of equal costs has rounding errors, which would make costs differ.
    constant = (c == c[:, :1]).all(axis=1)
    costs = np.where(constant, c[:, 0], c[:, drawn].mean(-1).T)
    return on_front(means, costs).mean(axis=0)


def draw(axes: Any, experiment: Experiment, name: str, points: Sequence[Point]) -> None:
    """Plots the metric of each arm against a cost, with the Pareto front as a line.

    Arms on the front have filled markers. The legend has the probabilities. Arms of
    the same cost are side by side.

    Args:
      axes: the Matplotlib axes.
      experiment: the experiment.
      name: the cost, a key of `COSTS`.
      points: the points of the arms, from `fronts`.
    """
    metric = results.main_metric(experiment)
    scale = units.scale(metric)
    front = sorted((p.cost, p.metric * scale) for p in points if p.on_front)
    largest = max(point.cost for point in points)
    x, y = zip(*front, (largest, front[-1][1]), strict=True)
    axes.step(x, y, where="post", color="0.6", linewidth=1.2, zorder=1)
    _set_axis(axes, [point.cost for point in points])
    for point, shown in zip(points, _side_by_side(points), strict=True):
        chance = "" if point.probability is None else f" ({point.probability:.0%})"
        axes.errorbar(
            shown,
            point.metric * scale,
            yerr=None if point.metric_reach is None else point.metric_reach * scale,
            xerr=point.cost_reach or None,
            fmt=MARKERS[point.place // 10 % len(MARKERS)],
            color=f"C{point.place % 10}",
            markerfacecolor=None if point.on_front else "white",
            elinewidth=0.8,
            label=names.plain(point.arm) + chance,
        )
    axes.set_xlabel(COSTS[name].label)
    axes.set_ylabel(names.plain(units.label(metric)))
    axes.grid(alpha=0.3)
    known = points[0].probability is not None
    axes.legend(
        title="arm" + " (probability of the front)" * known,
        fontsize="small",
        title_fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        frameon=False,
        alignment="left",
    )


def _side_by_side(points: Sequence[Point]) -> list[float]:
    """Returns where the points are drawn: equal costs are moved a little apart."""
    costs = np.array([point.cost for point in points])
    shifts = np.zeros(len(points))
    for cost in set(costs):
        (equal,) = np.nonzero(costs == cost)
        shifts[equal] = SHIFT * (np.arange(len(equal)) - (len(equal) - 1) / 2)
    if _logarithmic(costs):
        return list(costs * (costs.max() / costs.min()) ** shifts)
    return list(costs + shifts * np.ptp(costs))


def _logarithmic(costs: ArrayLike) -> bool:
    return bool(np.max(costs) >= LOGARITHMIC * np.min(costs) > 0)


def _set_axis(axes: Any, costs: Sequence[float]) -> None:
    """Sets the scale and the tick labels of the axis of costs.

    Costs of 10,000 and more are shown as "20 k" or "1.5 M".
    """
    from matplotlib import ticker

    if _logarithmic(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    large = max(costs) >= 1e4
    axes.xaxis.set_major_formatter(
        ticker.EngFormatter() if large else ticker.StrMethodFormatter("{x:,g}")
    )
    axes.margins(x=0.1)


def section(experiment: Experiment, rows: Sequence[Row], format: str) -> list[str]:
    """Returns the paragraphs of a report about the probabilities of the front.

    There are none if no cost differs between arms, or if the arms have fewer than two
    seeds in common.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      format: a table format of `tabulate`.
    """
    cells: dict[str, list[str]] = {arm.name: [arm.name] for arm in experiment.arms}
    headers = ["arm"]
    for name, points in fronts(experiment, rows).items():
        if points[0].probability is None:
            continue
        headers += [COSTS[name].header, "on the front"]
        found = {point.arm: point for point in points}
        for arm, line in cells.items():
            point = found.get(arm)
            line += ["", ""] if point is None else _cells(point)
    if len(headers) == 1:
        return []
    table = aligned(list(cells.values()), headers, format)
    said = (
        "The probability that an arm is on the Pareto front of the metric and a cost "
        "(no other arm is at least as good in both, and better in one). It comes from "
        f"{RESAMPLES:,} bootstrap resamples of the seeds"
    )
    if COSTS["step_time"].header in headers:
        said += (
            ". Step times are measured during training, so they also depend on what "
            "else the machine did"
        )
    return [f"{said}:", table]


def _cells(point: Point) -> list[str]:
    assert point.probability is not None
    amount = f"{point.cost:,.0f}" if point.cost >= 100 else f"{point.cost:.3g}"
    return [amount, f"{point.probability:.0%}"]
