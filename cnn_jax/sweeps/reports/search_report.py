"""The part of a sweep's report about its searches: a table of values, and a plot."""

import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnn_jax import tasks
from cnn_jax.core import names
from cnn_jax.sweeps import units
from cnn_jax.sweeps.experiment import TRIAL_SEED, Experiment
from cnn_jax.sweeps.run import short_text
from cnn_jax.sweeps.searches.study import REDUCTION, Search, Trial

COLUMNS = 3  # of plots in a figure
# The marker and the color of a trial's state. Failed trials have no score.
MARKS = {"complete": ("o", "C0"), "pruned": ("x", "C7")}


def write(experiment: Experiment, folder: Path, picture: str) -> list[str]:
    """Writes a figure of the trials of each search, and returns the paragraphs.

    Args:
      experiment: the experiment.
      folder: the folder of the page.
      picture: the path of the figure without suffix, relative to the folder. The name
        of the arm follows if the experiment has several searches.

    Returns:
      Paragraphs in Markdown; none if the experiment has no search.
    """
    parts = []
    for search in experiment.searches:
        task = tasks.find(experiment.runs[0].config.task.name)
        metric = f"val/{task.best_metric}"
        parts += [_words(search, metric), _table(search)]
        if drawn := [trial for trial in search.trials if trial.score is not None]:
            several = len(experiment.searches) > 1
            path = f"{picture}{f'-{search.arm}' * several}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            _figure(drawn, search.best, metric).savefig(folder / path)
            link = urllib.parse.quote(path)
            parts.append(f"![{metric} of the trials of {search.arm}]({link})")
    return parts


def _words(search: Search, metric: str) -> str:
    """Returns a paragraph that says what was searched, and how."""
    keys = dict.fromkeys(name for t in search.trials for name in t.suggested)
    parts = [
        f"{search.arm}: {len(search.trials)} trials of {', '.join(keys)}: "
        f"{search.count('complete')} complete, {search.count('pruned')} pruned "
        f"(a trial goes on if its score is among the best 1/{REDUCTION}), "
        f"{search.count('failed')} failed."
    ]
    if (best := search.best) and best.score is not None:
        parts.append(
            f"The best is trial {best.number}: {metric} is "
            f"{units.value_text(metric, best.score)} after the last step."
        )
    parts.append(f"Trials train with the seed {TRIAL_SEED} and read no test example.")
    return " ".join(parts)


def _table(search: Search) -> str:
    """Returns a table of the values before the search and of the best trial."""
    values = search.best.values if search.best else {}
    lines = [
        [key, *(short_text(v) for v in (search.config.get(key), value))]
        for key, value in values.items()
    ]
    headers = ["config key", "before", "best trial"]
    return tabulate(lines, headers, "github", disable_numparse=True)


def _figure(trials: Sequence[Trial], best: Trial | None, metric: str) -> Any:
    """Returns a Matplotlib figure of the scores against each suggested value.

    Args:
      trials: the trials that have a score.
      best: the best trial; None if no trial is complete.
      metric: the name of the score.
    """
    # Matplotlib takes half a second to import, so it is imported here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(name for t in trials for name in t.suggested))
    columns = min(len(keys), COLUMNS)
    rows = -(-len(keys) // COLUMNS)
    figure = Figure(figsize=(4.5 * columns, 3.6 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for place, key in enumerate(keys, 1):
        axes = figure.add_subplot(rows, columns, place)
        _scatter(axes, trials, best, key, 100 if units.is_share(metric) else 1)
        if place % COLUMNS == 1:
            unit = " (%)" * units.is_share(metric)
            axes.set_ylabel(f"{names.plain(metric)}{unit}")
    figure.axes[0].legend(fontsize="small")
    return figure


def _scatter(
    axes: Any, trials: Sequence[Trial], best: Trial | None, key: str, scale: int
) -> None:
    """Plots the score of each trial against one suggested value.

    Args:
      axes: the Matplotlib axes.
      trials: the trials that have a score.
      best: the best trial, which gets a circle; None for no circle.
      key: the name of the value.
      scale: the factor of the scores.
    """
    known = [trial for trial in trials if key in trial.suggested]
    numbers = all(type(t.suggested[key]) in (int, float) for t in known)

    def place(trial: Trial) -> Any:
        value = trial.suggested[key]
        return value if numbers else names.plain(str(value))

    def height(trial: Trial) -> float:
        return scale * (trial.score or 0.0)

    for state, (marker, color) in MARKS.items():
        of_state = [trial for trial in known if trial.state == state]
        xs, ys = [place(t) for t in of_state], [height(t) for t in of_state]
        axes.scatter(xs, ys, marker=marker, color=color, label=state)
    if best and key in best.suggested:
        ring = {"facecolors": "none", "edgecolors": "C3", "s": 120, "label": "best"}
        axes.scatter([place(best)], [height(best)], **ring)
    if numbers and any(key in trial.logarithmic for trial in known):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")  # its labels would overlap
    axes.set_xlabel(names.plain(key))
    axes.grid(alpha=0.3)
