"""Plots of a sweep's results.

The plotting functions draw into a Matplotlib `axes`. They take the experiment, the
results of its runs (`rows`) and a summary of each arm (`summaries`). "The metric" is
the experiment's main metric on the test split. Axes have the units of the report's
tables: per cent for an accuracy or an IoU, and points for a difference.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.core import names
from cnn_jax.sweeps import results, units
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.reports import pareto
from cnn_jax.sweeps.reports.summary import Summary
from cnn_jax.sweeps.results import Row

Draw = Callable[[Any, Experiment, Sequence[Row], Sequence[Summary]], None]


def by_arm(axes: Any, experiment: Experiment, rows: Sequence[Row], summaries) -> None:
    """Plots the metric of each arm: mean, standard deviation and single seeds."""
    metric = results.main_metric(experiment)
    unit = units.scale(metric)
    for place, s in enumerate(summaries):
        values = list(results.by_seed(rows, s.arm, metric).values())
        if not values:
            continue
        axes.errorbar(
            unit * s.mean,
            place,
            xerr=unit * (s.deviation or 0),
            fmt="o",
            capsize=4,
            color=_color(place),
        )
        axes.plot(
            [unit * value for value in values],
            [place] * len(values),
            "|",
            color="black",
            alpha=0.5,
        )
    _name_arms(axes, [names.plain(s.arm) for s in summaries])
    axes.set_xlabel(names.plain(units.label(metric)))
    axes.grid(axis="x", alpha=0.3)


def _name_arms(axes: Any, shown: Sequence[str]) -> None:
    """Writes one text per arm along the y axis, the first arm at the top."""
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(len(shown) - 0.5, -0.5)


def differences(
    axes: Any,
    experiment: Experiment,
    rows: Sequence[Row],
    summaries,
    margin: float | None = None,
) -> None:
    """Plots the difference of each arm to its base arm, with 95% intervals.

    A thin line is the interval over seeds and test examples. A thick line is Student's
    interval over the seeds. The rows are the arms, as in `by_arm`; an arm that is not
    compared has an empty row.

    Args:
      axes, experiment, rows, summaries: see the module.
      margin: the limit of differences that count as the same, in the unit of the
        metric; drawn as a band. None: no band.
    """
    metric = results.main_metric(experiment)
    unit = units.scale(metric)
    if margin is not None:
        band = units.amount(metric, margin)
        axes.axvspan(
            -unit * margin, unit * margin, color="C2", alpha=0.15, label=f"± {band}"
        )
    axes.axvline(0, color="black", linewidth=1)
    for place, s in enumerate(summaries):
        if not (d := s.difference):
            continue
        axes.plot(unit * d.mean, place, "o", color=_color(place))
        for found, width in ((s.crossed, 1.5), (d, 4)):
            if found and math.isfinite(found.low):
                ends = [unit * found.low, unit * found.high]
                axes.plot(ends, [place] * 2, color=_color(place), lw=width, alpha=0.7)
    bases = {s.against for s in summaries if s.against is not None}
    to = f"to {bases.pop()}" if len(bases) == 1 else ""
    shown = [
        s.arm if to or not s.against else f"{s.arm} - {s.against}" for s in summaries
    ]
    _name_arms(axes, list(map(names.plain, shown)))
    lines = [units.difference_label(metric), to]
    axes.set_xlabel("\n".join(map(names.plain, filter(None, lines))))
    axes.grid(axis="x", alpha=0.3)
    _explain(axes, summaries)


def _explain(axes: Any, summaries: Sequence[Summary]) -> None:
    """Adds a legend of the intervals and of the margin, as far as they are drawn."""
    gray = {"color": "gray", "alpha": 0.7}
    if any(s.crossed for s in summaries):
        axes.plot([], lw=1.5, label="95%, seeds and test examples", **gray)
    if any(s.difference.seeds > 1 for s in summaries if s.difference):
        axes.plot([], lw=4, label="95%, seeds only", **gray)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize="small")


def interaction(
    axes: Any, experiment: Experiment, rows: Sequence[Row], summaries
) -> None:
    """Plots the metric of crossed arms, named `ROW, COLUMN`.

    The rows are along the x axis. Each column is a line.
    """
    assert experiment.grid  # callers check this
    across, lines = experiment.grid
    metric = results.main_metric(experiment)
    unit = units.scale(metric)
    found = {s.arm: s for s in summaries}
    for number, line in enumerate(lines):
        known = [(i, found[f"{name}, {line}"]) for i, name in enumerate(across)]
        known = [(i, s) for i, s in known if s.mean is not None]
        # Error bars must not overlap.
        shift = 0.06 * (number - (len(lines) - 1) / 2)
        axes.errorbar(
            [i + shift for i, _ in known],
            [unit * s.mean for _, s in known],
            yerr=[unit * (s.deviation or 0) for _, s in known],
            fmt="o-",
            capsize=4,
            label=names.plain(line),
            color=_color(number),
        )
    axes.set_xticks(range(len(across)), list(map(names.plain, across)))
    axes.set_ylabel(names.plain(units.label(metric)))
    axes.grid(alpha=0.3)
    axes.legend()


def curves(axes: Any, experiment: Experiment, rows: Sequence[Row], summaries) -> None:
    """Plots the metric of each arm over the training steps.

    A line shows the mean, a band shows the standard deviation. Curves are of the
    validation split, if the runs have one.
    """
    metric = results.curve_metric(rows, results.main_metric(experiment))
    unit = units.scale(metric)
    for place, s in enumerate(summaries):
        found = list(results.curves(rows, s.arm, metric).values())
        if not found:
            continue
        steps = sorted(set.intersection(*(set(curve) for curve in found)))
        values = unit * np.array([[curve[step] for step in steps] for curve in found])
        mean = values.mean(axis=0)
        axes.plot(
            steps,
            mean,
            label=names.plain(s.arm),
            color=_color(place),
            linestyle=DASHES[place // 10 % len(DASHES)],
            linewidth=1.5,
        )
        if len(found) > 1:
            deviation = values.std(axis=0, ddof=1)
            axes.fill_between(
                steps,
                mean - deviation,
                mean + deviation,
                color=_color(place),
                alpha=0.15,
                linewidth=0,
            )
    axes.set_xlabel("step")
    axes.set_ylabel(names.plain(units.label(metric)))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")


DRAWINGS: dict[str, tuple[str, Draw]] = {
    "metric": ("The metric of each arm", by_arm),
    "curves": ("The metric over the steps", curves),
}


def write(
    experiment: Experiment,
    rows: Sequence[Row],
    summaries,
    folder: Path,
    margin: float | None = None,
) -> list[tuple[str, str]]:
    """Writes all plots into a folder.

    See `differences` for the margin.

    Returns:
      A pair of a caption and a file name for each plot.
    """
    written, drawings = [], dict(DRAWINGS)
    if any(s.difference for s in summaries):
        forest = functools.partial(differences, margin=margin)
        drawings = {
            "differences": ("The differences, with intervals", forest)
        } | drawings
    if experiment.grid:
        drawings = {"grid": ("The metric of the arms, crossed", interaction)} | drawings
    for name, (shown, draw) in drawings.items():
        figure, (axes,) = _figure(1, len(summaries))
        draw(axes, experiment, rows, summaries)
        figure.savefig(folder / f"{name}.png")
        written.append((shown, f"{name}.png"))
    for name, points in pareto.fronts(experiment, rows).items():
        figure, (axes,) = _figure(1, len(summaries))
        pareto.draw(axes, experiment, name, points)
        figure.savefig(folder / f"{name}.png")
        written.append(
            (f"The metric against {pareto.COSTS[name].label}", f"{name}.png")
        )
    return written


def overview(
    experiment: Experiment,
    rows: Sequence[Row],
    summaries,
    folder: Path,
    margin: float | None = None,
) -> tuple[str, str]:
    """Writes one figure with two plots into `plots/` of the folder.

    The first plot shows the metric of each arm, crossed if the arms are crossed. The
    second one shows the differences or, if no arm is compared, the metric over the
    steps. See `differences` for the margin.

    Returns:
      The caption, and the figure's path relative to `folder`.
    """
    figure, (left, right) = _figure(2, len(summaries))
    first = interaction if experiment.grid else by_arm
    first(left, experiment, rows, summaries)
    if any(s.difference for s in summaries):
        differences(right, experiment, rows, summaries, margin)
        beside = "and the differences with 95% intervals"
    else:
        curves(right, experiment, rows, summaries)
        beside = "and the metric over the steps"
    path = Path("plots") / f"{experiment.name}.png"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / path)
    return f"{experiment.name}: the metric of each arm, {beside}", str(path)


def _figure(columns: int, arms: int) -> tuple[Any, Sequence[Any]]:
    """Returns a Matplotlib figure, and a list with one axes per column.

    Args:
      columns: the number of plots side by side.
      arms: the number of arms, which determines the height.
    """
    # Matplotlib takes half a second to import, so it is imported here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = max(4.0, 1.2 + 0.3 * arms)
    figure = Figure(figsize=(7 * columns, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, columns, i + 1) for i in range(columns)]


# Colors repeat after ten arms; line styles then tell the arms apart.
DASHES = ("-", "--", ":", "-.")


def _color(place: int) -> str:
    return f"C{place % 10}"
