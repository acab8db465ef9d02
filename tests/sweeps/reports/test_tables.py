"""The tables of a report, from results that are known."""

import dataclasses

import numpy as np
import pytest

from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.reports import crossed, sentences, tables
from cnn_jax.sweeps.reports.summary import summarize
from cnn_jax.sweeps.results import Kept
from cnn_jax.sweeps.statistics.pairing import Pairing

METRIC = "test/accuracy"


def cells(table):
    """The cells of a table in Markdown, the header first."""
    lines = [line for line in table.splitlines() if not line.startswith("|-")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_an_arm_that_is_compared_to_another_one(make):
    values = {"base": [0.5, 0.6], "wider, by half": [0.7, 0.7], "diverges": [0.6, 0.65]}
    found, rows = make(values)
    base, wider, last = found.arms
    arms = base, wider, dataclasses.replace(last, against=wider.name)
    found = dataclasses.replace(found, arms=arms)
    *_, summary = summarize(found, rows)
    assert summary.difference.mean == pytest.approx(-0.075)
    said = sentences.on_arms("test/accuracy", summarize(found, rows))
    assert "* diverges: no significant difference to wider, by half" in said[1]
    table = tables.arms(found, summarize(found, rows), "github").splitlines()
    assert " difference |" in table[0]
    assert "+15.00 to base" in table[3] and "-7.50 to wider, by half" in table[4]


def test_another_split_has_a_column(make):
    found, rows = make({"base": [0.5, 0.6], "diverges": [0.4]})
    moved = {
        ("base", 0): {
            "moved/accuracy": 0.25,
            "moved/loss": 1.0,
            "best/test/accuracy": 1,
        },
        ("base", 1): {"moved/accuracy": 0.35},
    }
    rows = [
        dataclasses.replace(
            row, results=row.results | moved.get((row.run.arm, row.run.seed), {})
        )
        for row in rows
    ]
    header, _, base, *_ = tables.arms(
        found, summarize(found, rows), "github"
    ).splitlines()
    names, values = ([c.strip() for c in row.split("|")] for row in (header, base))
    cells = dict(zip(names, values, strict=True))
    assert cells["moved/accuracy"] == "30.00% ± 7.07"
    assert "moved/loss" not in cells and "best/test/accuracy" not in cells


def test_arms_that_are_crossed(make):
    found, rows = make({"base": [0.5, 0.7], "wider, by half": [0.1], "diverges": []})
    found = dataclasses.replace(
        found,
        arms=tuple(
            Arm(f"{row}, {column}", {}, None)
            for row in ("1%", "5%")
            for column in ("head", "all")
        ),
    )
    names = {"base": "1%, head", "wider, by half": "1%, all", "diverges": "5%, head"}
    rows = [
        dataclasses.replace(
            row, run=dataclasses.replace(row.run, arm=names[row.run.arm])
        )
        for row in rows
    ]
    summaries = summarize(found, rows)
    grid = (("1%", "5%"), ("head", "all"))
    assert found.grid == grid
    table = tables.cross_table(grid, "test/accuracy", summaries, "github")
    lines = table.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["test/accuracy", "head", "all"]
    assert cells[2:] == [["1%", "60.00% ± 14.14", "10.00%"], ["5%", "", ""]]


@pytest.fixture
def predicted(make_kept):
    """Four seeds of two arms, with predictions for 40 test examples."""
    drawn = np.random.default_rng(0).random((2, 4, 40))
    base, arm = drawn < np.array([0.6, 0.8])[:, None, None]
    return make_kept({"base": list(base), "diverges": list(arm)})


def test_both_intervals_are_columns(predicted):
    summaries = summarize(*predicted)
    header, _, _, line = cells(tables.arms(predicted[0], summaries, "github"))
    assert header[4:7] == ["95% interval", "95%, seeds only", "adjusted p"]
    *_, s = summaries
    shown = [
        f"{100 * d.low:+.2f} to {100 * d.high:+.2f}" for d in (s.crossed, s.difference)
    ]
    assert line[4:6] == shown
    legend = tables.legend(METRIC, summaries)
    assert "new test examples of the same kind as the 40 used ones" in legend
    assert "may include zero although p is below 0.05" in legend
    legend = tables.legend(METRIC, summaries, looks=True)
    assert "below 0.05" not in legend
    assert "so the verdicts say which arms differ" in legend


def test_without_predictions_the_interval_is_over_seeds(make):
    found, rows = make({"base": [0.5, 0.6, 0.7], "diverges": [0.4, 0.5, 0.5]})
    summaries = summarize(found, rows)
    header, *_ = cells(tables.arms(found, summaries, "github"))
    assert "95% interval" in header and "95%, seeds only" not in header
    legend = tables.legend(METRIC, summaries)
    assert f"No interval covers new test examples: {crossed.NOT_KEPT}." in legend


def test_arms_without_an_interval_over_examples_are_named(predicted):
    found, rows = predicted
    third = [
        dataclasses.replace(
            row,
            run=dataclasses.replace(row.run, arm="wider, by half"),
            results={METRIC: 0.4 + 0.1 * row.run.seed},
        )
        for row in rows
        if row.run.arm == "base"
    ]
    for row in third:
        vars(row)["predictions"] = Kept(None)
    rows = [row for row in rows if row.run.arm != "wider, by half"] + third
    summaries = summarize(found, rows)
    line = cells(tables.arms(found, summaries, "github"))[2]
    assert line[4] == "" and line[5].count(" to ") == 1
    legend = tables.legend(METRIC, summaries)
    assert f"Only seeds are covered for wider, by half: {crossed.NOT_KEPT}." in legend


def test_a_lone_arm_needs_no_words_on_differences(make):
    found, rows = make({"base": [0.5, 0.6]})
    summaries = [s for s in summarize(found, rows) if s.arm == "base"]
    legend = tables.legend(METRIC, summaries)
    assert "standard deviation" in legend and "interval" not in legend


def test_what_makes_a_difference_precise(predicted):
    *_, s = summaries = summarize(*predicted)
    table, legend = tables.precision(summaries)
    assert cells(table)[0] == ["arm", "to", "from seeds", "from test examples"]
    share = round(100 * s.crossed.seed_share)
    assert cells(table)[1] == ["diverges", "base", f"{share}%", f"{100 - share}%"]
    assert "reduce the first share" in legend and "unpaired" not in legend


def test_the_use_of_pairing(predicted):
    *_, s = summaries = summarize(*predicted)
    made = Pairing(10, 0.5, -0.123, 0.8, 16.6)
    changed = [*summaries[:-1], dataclasses.replace(s, pairing=made, crossed=None)]
    table, legend = tables.precision(changed)
    assert cells(table) == [
        ["arm", "to", "correlation (95%)", "paired seeds", "are worth"],
        ["diverges", "base", "0.50 (-0.12 to 0.80)", "10", "17 unpaired"],
    ]
    assert "rough" in legend


def test_nothing_is_known_about_precision(make):
    found, rows = make({"base": [0.5, 0.6], "diverges": [0.4, 0.5]})
    assert tables.precision(summarize(found, rows)) == []
