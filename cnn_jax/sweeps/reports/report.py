"""Writes the report of a sweep, report.md."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnn_jax.core import disk, records
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import budgets, results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.reports import (
    disagreements,
    factors,
    pareto,
    plots,
    search_report,
    sentences,
    tables,
    verdicts,
)
from cnn_jax.sweeps.reports.summary import Summary, summarize
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import shell_line
from cnn_jax.training import config as config_lib
from cnn_jax.training import machine

FILE = "report.md"
# Words for paths, if the name of the config key does not say what the path is.
WORDS = {"model.init_from": "FILE", "task.teacher": "RUN"}


def write(
    experiment: Experiment,
    rows: Sequence[Row],
    folder: Path,
    protocol: Protocol,
) -> str:
    """Writes report.md, results.csv and the plots into a folder.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      folder: the folder.
      protocol: the protocol of the sweep.

    Returns:
      The tables of the report as plain text.
    """
    summaries = summarize(experiment, rows)
    results.write_csv(folder / results.CSV, rows)
    size = protocol.size(experiment)
    pictures = plots.write(experiment, rows, summaries, folder, size)
    page = [
        *_page(experiment, rows, summaries, pictures, protocol, level=1),
        *_titled("Precision of the differences", tables.precision(summaries)),
        *_titled("Search", search_report.write(experiment, folder, "trials")),
        *_titled(
            "Test examples",
            disagreements.write(experiment, rows, summaries, folder),
        ),
        *_incomplete(rows, level=1),
    ]
    text = "\n\n".join(page)
    _replace(folder / FILE, text + "\n")
    said = verdicts.paragraphs(experiment, rows, protocol, "simple")
    said += results.conclusion(experiment, rows)
    return "\n\n".join([*_tables(experiment, summaries, "simple"), *said])


def section(
    experiment: Experiment,
    rows: Sequence[Row],
    folder: Path,
    protocol: Protocol,
) -> str:
    """Writes a figure of the results, and returns the report as a Markdown section.

    The section is for other readers, so its command has a word such as `DIR` for each
    path of the user.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      folder: the folder of the page that gets the section. The figure is written below
        this folder.
      protocol: see `write`.
    """
    command = _without_paths(experiment.command)
    experiment = dataclasses.replace(experiment, command=command)
    summaries = summarize(experiment, rows)
    size = protocol.size(experiment)
    picture = plots.overview(experiment, rows, summaries, folder, size)
    page = _page(experiment, rows, summaries, [picture], protocol, level=2)
    page += search_report.write(experiment, folder, f"plots/{experiment.name}-trials")
    return "\n\n".join([*page, *_incomplete(rows, level=2)])


def _without_paths(command: str) -> str:
    """Returns a command with a word in place of each config value that is a path."""
    words = []
    for text in shlex.split(command):
        key = text.partition("=")[0].removeprefix("--config.")
        word = WORDS.get(key, key.partition(".")[2].upper())
        words.append(f"--config.{key}={word}" if key in config_lib.PATHS else text)
    return shell_line(words)


def _titled(title: str, paragraphs: Sequence[str]) -> list[str]:
    """Returns the paragraphs below a heading; [] without paragraphs."""
    return [f"## {title}", *paragraphs] if paragraphs else []


def _page(
    experiment: Experiment,
    rows: Sequence[Row],
    summaries: Sequence[Summary],
    pictures: Sequence[tuple[str, str]],
    protocol: Protocol,
    level: int,
) -> list[str]:
    """Returns the paragraphs of the report, in Markdown.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      summaries: the summary of each arm.
      pictures: pairs of a caption and the path of a plot.
      protocol: the protocol of the sweep.
      level: the level of the report's heading. A section of a page (2) has no legend:
        the page explains the columns once.
    """
    metric = results.main_metric(experiment)
    arms, *crossed = _tables(experiment, summaries, "github")
    # With looks, only the tests of the verdicts are corrected for the looks.
    looks = bool(protocol.looks)
    said = [] if looks else sentences.on_arms(metric, summaries)
    return [
        f"{'#' * level} {experiment.name}",
        experiment.question,
        f"    {experiment.command}",
        _conditions(experiment, rows),
        arms,
        *([tables.legend(metric, summaries, looks)] if level == 1 else []),
        *crossed,
        *factors.paragraphs(experiment, rows),
        *(["\n".join(said)] if said else []),
        *verdicts.paragraphs(experiment, rows, protocol, "github"),
        *pareto.section(experiment, rows, "github"),
        *results.conclusion(experiment, rows),
        *[f"![{shown}]({path})" for shown, path in pictures],
    ]


def _incomplete(rows: Sequence[Row], level: int) -> list[str]:
    """Returns a table of the runs that are not complete; [] if all are."""
    troubled = [row for row in rows if row.outcome.status != "done"]
    if not troubled:
        return []
    lines = [
        [row.run.name, row.outcome.status, row.outcome.reason.replace("|", "\\|")]
        for row in troubled
    ]
    return [
        f"{'#' * level}# Runs that are not complete",
        tabulate(lines, ["run", "status", "why"], "github"),
    ]


def _tables(
    experiment: Experiment, summaries: Sequence[Summary], format: str
) -> list[str]:
    """Returns the tables: of arms, of crossed arms if there are any, and of budgets.

    `format` is a table format of `tabulate`.
    """
    found = [tables.arms(experiment, summaries, format)]
    if grid := experiment.grid:
        metric = results.main_metric(experiment)
        found.append(tables.cross_table(grid, metric, summaries, format))
    return found + budgets.section(experiment.budgets, format)


def _conditions(experiment: Experiment, rows: Sequence[Row]) -> str:
    """Returns a line about the seeds, data, steps, devices and versions of the runs."""
    seeds = sorted({run.seed for run in experiment.runs})
    steps = sorted({row.results["step"] for row in rows if row.results})
    parts = [
        f"Seed{'s' * (len(seeds) > 1)} {_listed(seeds)}",
        f"{experiment.runs[0].config.data.name}",
    ]
    if steps:
        parts.append(
            f"{'-'.join(f'{s:,}' for s in sorted({steps[0], steps[-1]}))} steps"
        )
    if any(run.config.eval.test_curve for run in experiment.runs):
        parts.append("the test split was evaluated during training (eval.test_curve)")
    known = {_machine(row.run.workdir) for row in rows if row.results} - {""}
    return "; ".join([*parts, *sorted(known)]) + "."


def _listed(seeds: Sequence[int]) -> str:
    """Returns seeds as text: "0, 1, 2", or "0 to 9" for more than three in a row."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 3 and list(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, seeds))


def _machine(workdir: Path) -> str:
    """Returns a text about a run's device and its versions of jax and flax.

    Returns "" if the run's config.json lacks them.
    """
    try:
        content = records.read_json(workdir / "config.json")
        versions = content["versions"]
        return (
            f"{machine.text(content['device'])}, jax {versions['jax']}, "
            f"flax {versions['flax']}"
        )
    except (OSError, UserError, LookupError, TypeError):
        return ""


def _replace(path: Path, text: str) -> Any:
    temporary = path.with_suffix(".tmp")
    with disk.writing(path):
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
