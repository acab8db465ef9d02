"""Writes the results of a sweep for TensorBoard.

Each arm gets a run `<arm> (mean)`: the mean curves over the seeds, bands around the
means, and a row of the HParams table. A run `report` has the report, its plots, the
columns of the HParams table and the charts with bands. The folders of these runs are
`<workdir>/<arm> (mean)` and `<workdir>/report`. The seeds of an arm are in the folders
`<workdir>/<arm>/seed<k>`, so TensorBoard shows them apart for any name of an arm.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import summary

from cnn_jax.core import disk
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import results
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.reports import bands, report
from cnn_jax.sweeps.reports.bands import Chart, Curve
from cnn_jax.sweeps.results import Row
from cnn_jax.training import config as config_lib
from cnn_jax.training.writers import EVENTS, Events

MEAN = " (mean)"
REPORT = "report"
ENDING = ".sweep"  # of the names of the event files that a sweep itself writes
PICTURE = re.compile(r"^!\[.*\]\((.*)\)\n*", re.MULTILINE)


def write(experiment: Experiment, rows: Sequence[Row], workdir: Path) -> None:
    """Writes the runs of TensorBoard for the arms and for the report of a sweep.

    The runs replace those of an earlier report.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      workdir: the sweep's folder, with the report.

    Raises:
      UserError: if a folder cannot be written.
    """
    complete = {arm.name: _complete(rows, arm.name) for arm in experiment.arms}
    arms = [name for name, found in complete.items() if found]
    values = {arm.name: _values(experiment, arm) for arm in experiment.arms}
    curves = {name: bands.curves(rows, name) for name in arms}
    main = results.main_metric(experiment)
    curve = results.curve_metric(rows, main)
    metrics = list(dict.fromkeys([curve, f"{curve.partition('/')[0]}/loss"]))
    charts = bands.charts(experiment, curves, metrics)
    folders = {name: workdir / f"{name}{MEAN}" for name in arms}
    _remove(workdir, [*folders.values(), workdir / REPORT])
    for name, folder in folders.items():
        with _opened(folder) as events:
            events.hparams_row(values[name])
            _means(events, curves[name], complete[name])
            for chart in charts:
                if name in chart.arms:
                    _band(events, chart, curves[name][chart.metric])
    with _opened(workdir / REPORT) as events:
        _report(events, workdir)
        scores = [main, *results.other_splits(rows, main), *metrics]
        columns = _columns(experiment, values.values())
        events.hparams_columns(columns, list(dict.fromkeys(scores)))
        if charts:
            events.write(0, summary.custom_scalars(_layout(charts)))


def _remove(workdir: Path, kept: Sequence[Path]) -> None:
    """Removes the event files of an earlier report, and folders that are then empty.

    Args:
      workdir: the sweep's folder.
      kept: folders that stay although they are empty.
    """
    for path in workdir.glob(f"*/{EVENTS}.out.tfevents.*{ENDING}"):
        with disk.writing(path):
            path.unlink(missing_ok=True)
        if path.parent not in kept:
            with contextlib.suppress(OSError):  # other files are in the folder
                path.parent.rmdir()


def _opened(folder: Path) -> Events:
    """Returns a writer of events in a folder, which is created."""
    try:
        with disk.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(
            f"{folder} is a file, but the sweep writes TensorBoard's events into a "
            "folder of this name: move the file away."
        ) from None
    return Events(folder, ending=ENDING)


def _complete(rows: Sequence[Row], arm: str) -> list[Row]:
    """Returns the rows of an arm's complete runs."""
    return [row for row in rows if row.run.arm == arm and row.outcome.status == "done"]


def _columns(
    experiment: Experiment, rows: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns an example of the values in each column of the HParams table.

    The columns are the arm's name and the keys that any arm sets.

    Args:
      experiment: the experiment.
      rows: the values of each arm.
    """
    columns = {}
    for key in ["arm", *(key for arm in experiment.arms for key in arm.values)]:
        values = [row[key] for row in rows if key in row]
        numbers = all(isinstance(value, int | float) for value in values)
        columns[key] = values[0] if values and numbers else ""
    return columns


def _values(experiment: Experiment, arm: Arm) -> dict[str, Any]:
    """Returns the arm's name, and the config values that are equal for all seeds."""
    configs = [run.config for run in experiment.runs if run.arm == arm.name]
    first, *others = map(config_lib.flat, configs)
    equal = {
        key: value
        for key, value in first.items()
        if value is not None and key != "seed"
        if all(other.get(key) == value for other in others)
    }
    return {"arm": arm.name, **equal}


def _means(events: Events, curves: dict[str, Curve], complete: Sequence[Row]) -> None:
    """Writes the mean curves of an arm, and at the last step the mean final scores."""
    last = max(row.results["step"] for row in complete)
    scores = {
        key: float(np.mean([row.results[key] for row in complete]))
        for key in complete[0].results
        if "/" in key
        and not key.startswith(("val/", "best/"))
        and all(isinstance(row.results.get(key), int | float) for row in complete)
    }
    for name, curve in curves.items():
        for step, value in zip(curve.steps, curve.mean, strict=True):
            if step < last or name not in scores:
                events.scalars(step, {name: value})
    events.scalars(last, scores)


def _band(events: Events, chart: Chart, curve: Curve) -> None:
    """Writes an arm's line and band of a chart."""
    band = curve.band(chart.kind)
    assert band  # a chart has only arms with a band
    for step, *values in zip(curve.steps, curve.mean, *band, strict=True):
        events.scalars(step, dict(zip(chart.tags, values, strict=True)))


def _report(events: Events, workdir: Path) -> None:
    """Writes the report as a text, and the report's plots as images."""
    text = (workdir / report.FILE).read_text(encoding="utf-8")
    # TensorBoard shows no images within a text.
    events.text(0, "ablation", PICTURE.sub("", text))
    for name in filter(lambda name: (workdir / name).is_file(), PICTURE.findall(text)):
        with Image.open(workdir / name) as picture:
            array = np.asarray(picture.convert("RGB"))
        events.image(0, f"plots/{Path(name).stem}", array)


def _layout(charts: Sequence[Chart]) -> dict[str, dict[str, list[Any]]]:
    """Returns the charts by category and title, as tensorboardX takes them."""
    layout: dict[str, dict[str, list[Any]]] = {c.category: {} for c in charts}
    # TensorBoard 2.21 shows the charts with bands of a category from last to first.
    for chart in reversed(charts):
        layout[chart.category][chart.title] = ["Margin", chart.tags]
    return layout
