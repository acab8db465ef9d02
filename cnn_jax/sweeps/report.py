"""Writes the report of a sweep, report.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnn_jax.analysis.costs import memory_text
from cnn_jax.core import disk, records
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import plots, results, search_report, units, verdicts
from cnn_jax.sweeps.experiment import Experiment, Grid
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.summary import Summary, summarize
from cnn_jax.training import machine

FILE = "report.md"
SIGNIFICANT = 0.05


def write(
    experiment: Experiment,
    rows: Sequence[Row],
    folder: Path,
    margin: float | None = None,
) -> str:
    """Writes report.md, results.csv and the plots into a folder.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      folder: the folder.
      margin: differences below this size count as the same, in percentage points for
        shares and otherwise in the unit of the metric; None: no verdicts.

    Returns:
      The tables of the report as plain text.
    """
    summaries = summarize(experiment, rows)
    results.write_csv(folder / results.CSV, rows)
    pictures = plots.write(experiment, rows, summaries, folder)
    said = _verdicts(experiment, rows, margin, "github")
    said += search_report.write(experiment, folder, "trials")
    text = "\n\n".join(_page(experiment, rows, summaries, pictures, said, level=1))
    _replace(folder / FILE, text + "\n")
    said = _verdicts(experiment, rows, margin, "simple")
    return "\n\n".join([*_tables(experiment, summaries, "simple"), *said])


def section(
    experiment: Experiment,
    rows: Sequence[Row],
    folder: Path,
    margin: float | None = None,
) -> str:
    """Writes a figure of the results, and returns the report as a Markdown section.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      folder: the folder of the page that gets the section. The figure is written below
        this folder.
      margin: see `write`.
    """
    summaries = summarize(experiment, rows)
    picture = plots.overview(experiment, rows, summaries, folder)
    said = _verdicts(experiment, rows, margin, "github")
    said += search_report.write(experiment, folder, f"plots/{experiment.name}-trials")
    return "\n\n".join(_page(experiment, rows, summaries, [picture], said, level=2))


def _verdicts(
    experiment: Experiment, rows: Sequence[Row], margin: float | None, format: str
) -> list[str]:
    """Returns the paragraphs of the verdicts; none if there is no margin."""
    if margin is None:
        return []
    metric = results.main_metric(experiment)
    size = margin / 100 if units.is_share(metric) else margin
    return [
        f"Verdicts, with a margin of {units.amount(metric, size)}:",
        verdicts.table(experiment, rows, size, format),
    ]


def _page(
    experiment: Experiment,
    rows: Sequence[Row],
    summaries: Sequence[Summary],
    pictures: Sequence[tuple[str, str]],
    said: Sequence[str],
    level: int,
) -> list[str]:
    """Returns the paragraphs of the report, in Markdown.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      summaries: the summary of each arm.
      pictures: pairs of a caption and the path of a plot.
      said: the paragraphs of the verdicts.
      level: the level of the report's heading.
    """
    heading = "#" * level
    parts = [
        f"{heading} {experiment.name}",
        experiment.question,
        f"    {experiment.command}",
        _conditions(experiment, rows),
        *_tables(experiment, summaries, "github"),
        *([words] if (words := _words(experiment, summaries)) else []),
        *said,
        *[f"![{shown}]({path})" for shown, path in pictures],
    ]
    if troubled := [row for row in rows if row.outcome.status != "done"]:
        lines = [
            [row.run.name, row.outcome.status, row.outcome.reason.replace("|", "\\|")]
            for row in troubled
        ]
        parts += [
            f"{heading}# Runs that are not complete",
            tabulate(lines, ["run", "status", "why"], "github"),
        ]
    return parts


def _tables(
    experiment: Experiment, summaries: Sequence[Summary], format: str
) -> list[str]:
    """Returns the table of arms and, if the arms are crossed, the cross table.

    `format` is a table format of `tabulate`.
    """
    tables = [table(experiment, summaries, format)]
    if grid := experiment.grid:
        metric = results.main_metric(experiment)
        tables.append(cross_table(grid, metric, summaries, format))
    return tables


def cross_table(
    grid: Grid, metric: str, summaries: Sequence[Summary], format: str
) -> str:
    """Returns a table of the metric of crossed arms, which are named `ROW, COLUMN`.

    Args:
      grid: the names of the rows and the names of the columns.
      metric: the name of the metric.
      summaries: the summary of each arm.
      format: a table format of `tabulate`.
    """
    rows, columns = grid
    found = {s.arm: units.plus_minus(metric, s.mean, s.deviation) for s in summaries}
    lines = [[row, *(found[f"{row}, {column}"] for column in columns)] for row in rows]
    return tabulate(
        lines,
        [metric, *columns],
        format,
        disable_numparse=True,
        colalign=("left", *["right"] * len(columns)),
    )


def table(experiment: Experiment, summaries: Sequence[Summary], format: str) -> str:
    """Returns the table of arms, with one row per arm.

    `format` is a table format of `tabulate`.
    """
    metric = results.main_metric(experiment)
    bases = list(dict.fromkeys(s.against for s in summaries if s.against))
    to = f" to {bases[0]}" if len(bases) == 1 else ""
    others = list(dict.fromkeys(key for s in summaries for key in s.others))
    memory = any("peak_memory_bytes" in s.costs for s in summaries)
    headers = [
        *("arm", "runs", metric, f"difference{to}", "95% interval", "p, Holm"),
        *(*others, "parameters", "MACs", "examples/s"),
        *(["memory"] if memory else []),
    ]
    lines = []
    for s in summaries:
        line: list[Any] = [s.arm, s.seeds]
        line += [units.plus_minus(metric, s.mean, s.deviation), "", "", ""]
        if s.difference:
            line[3] = units.signed(metric, s.difference.mean)
            if not to:
                line[3] += f" to {s.against}"
            if s.difference.seeds > 1:
                line[4] = units.interval(metric, s.difference)
        if s.p_value is not None:
            line[5] = verdicts.p_text(s.p_value)
        line += [
            units.plus_minus(key, *s.others.get(key, (None, None))) for key in others
        ]
        line += [
            f"{s.costs[key]:,.0f}" if key in s.costs else "" for key in results.COSTS
        ]
        if memory:
            known = s.costs.get("peak_memory_bytes")
            line.append(memory_text(round(known)) if known else "")
        lines.append(line)
    return tabulate(
        lines,
        headers,
        format,
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)),
    )


def _words(experiment: Experiment, summaries: Sequence[Summary]) -> str:
    """Returns a line for each arm: does the arm differ from its base arm?"""
    metric, lines = results.main_metric(experiment), []
    tests = sum(s.p_value is not None for s in summaries)
    for s in summaries:
        d, base, p_value = s.difference, s.against, s.p_value
        if d is None:
            continue
        amount = units.amount(metric, abs(d.mean))
        direction = "above" if d.mean > 0 else "below"
        if d.seeds == 1:
            said = f"{amount} {direction} {base} with one seed, which may be chance"
        elif d.p_value is None or p_value is None:
            said = (
                f"{amount} {direction} {base} with every seed; no test is possible"
                if d.mean
                else f"the same as {base} with every seed"
            )
        elif p_value < SIGNIFICANT:
            near, far = sorted((abs(d.low), abs(d.high)))
            ends = f"{units.bare(metric, near)} to {units.amount(metric, far)}"
            said = f"{amount} {direction} {base} (95% interval: {ends} {direction})"
        elif d.p_value < SIGNIFICANT:
            said = (
                f"{amount} {direction} {base} (95% interval: "
                f"{units.interval(metric, d)}), "
                f"significant by itself, but not among {tests} comparisons "
                f"(p = {verdicts.p_text(p_value)})"
            )
        else:
            said = (
                f"no significant difference to {base} (95% interval: "
                f"{units.interval(metric, d)})"
            )
        lines.append(f"* {s.arm}: {said}.")
    return "\n".join(lines)


def _conditions(experiment: Experiment, rows: Sequence[Row]) -> str:
    """Returns a line about the seeds, data, steps, devices and versions of the runs."""
    seeds = sorted({run.seed for run in experiment.runs})
    steps = sorted({row.results["step"] for row in rows if row.results})
    parts = [
        f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
        f"{experiment.runs[0].config.data.name}",
    ]
    if steps:
        parts.append(
            f"{'-'.join(f'{s:,}' for s in sorted({steps[0], steps[-1]}))} steps"
        )
    if any(run.config.eval.test_curve for run in experiment.runs):
        parts.append("the test split was evaluated during training (eval.test_curve)")
    known = {_machine(row.run.workdir) for row in rows if row.results} - {""}
    return (
        "; ".join([*parts, *sorted(known)])
        + ". Values after ± are standard "
        + ("deviations over seeds; differences are paired by seed.")
    )


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
