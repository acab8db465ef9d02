"""Plots of a sweep's results.

The plotting functions draw into a Matplotlib `axes`. They take the experiment, the
results of its runs (`rows`) and a summary of each arm (`summaries`). "The metric" is
the experiment's main metric on the test split.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.core import names
from cnn_jax.sweeps import pareto, results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.results import Row

if TYPE_CHECKING:
    from cnn_jax.sweeps.summary import Summary

Draw = Callable[[Any, Experiment, Sequence[Row], Sequence["Summary"]], None]


def by_arm(axes: Any, experiment: Experiment, rows: Sequence[Row], summaries) -> None:
    """Plots the metric of each arm: mean, standard deviation and single seeds."""
    metric = results.main_metric(experiment)
    for place, s in enumerate(summaries):
        values = list(results.by_seed(rows, s.arm, metric).values())
        if not values:
            continue
        axes.errorbar(
            s.mean,
            place,
            xerr=s.deviation,
            fmt="o",
            capsize=4,
            color=_color(place),
        )
        axes.plot(values, [place] * len(values), "|", color="black", alpha=0.5)
    axes.set_yticks(range(len(summaries)), [names.plain(s.arm) for s in summaries])
    axes.set_ylim(len(summaries) - 0.5, -0.5)
    axes.set_xlabel(names.plain(metric))
    axes.grid(axis="x", alpha=0.3)


def crossed(axes: Any, experiment: Experiment, rows: Sequence[Row], summaries) -> None:
    """Plots the metric of crossed arms, named `ROW, COLUMN`.

    The rows are along the x axis. Each column is a line.
    """
    assert experiment.grid  # callers check this
    across, lines = experiment.grid
    found = {s.arm: s for s in summaries}
    for number, line in enumerate(lines):
        known = [(i, found[f"{name}, {line}"]) for i, name in enumerate(across)]
        known = [(i, s) for i, s in known if s.mean is not None]
        # Error bars must not overlap.
        shift = 0.06 * (number - (len(lines) - 1) / 2)
        axes.errorbar(
            [i + shift for i, _ in known],
            [s.mean for _, s in known],
            yerr=[s.deviation or 0 for _, s in known],
            fmt="o-",
            capsize=4,
            label=names.plain(line),
            color=_color(number),
        )
    axes.set_xticks(range(len(across)), list(map(names.plain, across)))
    axes.set_ylabel(names.plain(results.main_metric(experiment)))
    axes.grid(alpha=0.3)
    axes.legend()


def curves(axes: Any, experiment: Experiment, rows: Sequence[Row], summaries) -> None:
    """Plots the metric of each arm over the training steps.

    A line shows the mean, a band shows the standard deviation. Curves are of the
    validation split, if the runs have one.
    """
    metric = results.curve_metric(rows, results.main_metric(experiment))
    for place, s in enumerate(summaries):
        found = list(results.curves(rows, s.arm, metric).values())
        if not found:
            continue
        steps = sorted(set.intersection(*(set(curve) for curve in found)))
        values = np.array([[curve[step] for step in steps] for curve in found])
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
    axes.set_ylabel(names.plain(metric))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")


DRAWINGS: dict[str, tuple[str, Draw]] = {
    "metric": ("The metric of each arm", by_arm),
    "curves": ("The metric over the steps", curves),
}


def write(
    experiment: Experiment, rows: Sequence[Row], summaries, folder: Path
) -> list[tuple[str, str]]:
    """Writes all plots into a folder.

    Returns:
      A pair of a caption and a file name for each plot.
    """
    written, drawings = [], dict(DRAWINGS)
    if experiment.grid:
        drawings = {"grid": ("The metric of the arms, crossed", crossed)} | drawings
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
    experiment: Experiment, rows: Sequence[Row], summaries, folder: Path
) -> tuple[str, str]:
    """Writes one figure with two plots into `plots/` of the folder.

    The first plot shows the metric of each arm. The second one shows the metric over
    the steps or, if the arms are crossed, the metric of the crossed arms.

    Returns:
      The caption, and the figure's path relative to `folder`.
    """
    figure, both = _figure(2, len(summaries))
    second = crossed if experiment.grid else curves
    for axes, draw in zip(both, (by_arm, second), strict=True):
        draw(axes, experiment, rows, summaries)
    path = Path("plots") / f"{experiment.name}.png"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / path)
    beside = "and crossed" if experiment.grid else "and over the steps"
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
