"""The report's table and words, from results that are known."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import experiment, plots, report, results


def words(found, rows):
    return report._words(found, report.summarize(found, rows)).splitlines()


def test_a_difference_that_the_interval_shows(make):
    found, rows = make(
        {"base": [0.5, 0.6, 0.7, 0.8], "diverges": [0.4, 0.49, 0.6, 0.7]}
    )
    # Differences: -10, -11, -10, -10 points; t for three degrees of freedom: 3.182.
    (line,) = words(found, rows)
    assert line == (
        "* diverges: 10.25 points below base "
        "(95% interval: 9.45 to 11.05 points below)."
    )
    base, _, diverges = report.summarize(found, rows)
    assert base.difference is None and base.mean == pytest.approx(0.65)
    assert base.deviation == pytest.approx(np.std([5, 6, 7, 8], ddof=1) / 10)
    assert diverges.p_value < 0.001


def test_no_difference_is_claimed_where_zero_is_within(make):
    found, rows = make({"base": [0.5, 0.6, 0.7], "diverges": [0.52, 0.59, 0.72]})
    (line,) = words(found, rows)
    assert line == (
        "* diverges: no significant difference to base (95% interval: -3.30 to +5.30)."
    )


def test_several_arms_need_more_to_be_claimed(make):
    """p = 0.045 alone; among two arms it is twice that, though the interval is the
    same."""
    base, better = [0.5, 0.6, 0.7], [0.52, 0.63, 0.714]
    found, rows = make({"base": base, "diverges": better})
    assert "above base" in words(found, rows)[0]
    found, rows = make({"base": base, "wider, by half": base[::-1], "diverges": better})
    assert words(found, rows)[1] == (
        "* diverges: 2.13 points above base (95% interval: +0.13 to +4.14), "
        "significant by itself, but not among 2 comparisons (p = 0.089)."
    )


def test_an_arm_that_is_compared_to_another_one(make):
    values = {"base": [0.5, 0.6], "wider, by half": [0.7, 0.7], "diverges": [0.6, 0.65]}
    found, rows = make(values)
    base, wider, last = found.arms
    arms = base, wider, dataclasses.replace(last, against=wider.name)
    found = dataclasses.replace(found, arms=arms)
    *_, summary = report.summarize(found, rows)
    assert summary.difference.mean == pytest.approx(-0.075)
    assert (
        "* diverges: no significant difference to wider, by half"
        in words(found, rows)[1]
    )
    table = report.table(found, report.summarize(found, rows), "github").splitlines()
    assert " difference |" in table[0]
    assert "+15.00 to base" in table[3] and "-7.50 to wider, by half" in table[4]


def test_arms_that_are_crossed(make, tmp_path):
    found, rows = make({"base": [0.5, 0.7], "wider, by half": [0.1], "diverges": []})
    found = dataclasses.replace(
        found,
        arms=tuple(
            experiment.Arm(f"{row}, {column}", {}, None)
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
    summaries = report.summarize(found, rows)
    grid = (("1%", "5%"), ("head", "all"))
    assert found.grid == grid
    table = report.cross_table(grid, "test/accuracy", summaries, "github")
    lines = table.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["test/accuracy", "head", "all"]
    assert cells[2:] == [["1%", "60.00% ± 14.14", "10.00%"], ["5%", "", ""]]
    (tmp_path / "out").mkdir()
    report.write(found, rows, tmp_path / "out")
    assert "](grid.png)" in (tmp_path / "out" / "report.md").read_text()
    assert Image.open(tmp_path / "out" / "grid.png").size[0] > 500


def test_one_seed_is_no_evidence(make):
    found, rows = make({"base": [0.5], "diverges": [0.9], "wider, by half": [0.5]})
    assert words(found, rows) == [
        "* wider, by half: 0.00 points below base with one seed, which may be chance.",
        "* diverges: 40.00 points above base with one seed, which may be chance.",
    ]


def test_equal_differences(make):
    found, rows = make(
        {"base": [0.5, 0.75], "diverges": [0.25, 0.5], "wider, by half": [0.5, 0.75]}
    )
    assert words(found, rows) == [
        "* wider, by half: the same as base with every seed.",
        "* diverges: 25.00 points below base with every seed; no test is possible.",
    ]


def test_only_common_seeds_are_compared(make):
    found, rows = make(
        {"base": [0.1, None, 0.7, 0.8], "diverges": [None, 0.2, 0.7, 0.9]}
    )
    *_, diverges = report.summarize(found, rows)
    assert diverges.seeds == 3 and diverges.difference.seeds == 2
    assert diverges.difference.mean == pytest.approx(0.05)


def test_what_is_written(make, tmp_path):
    found, rows = make({"base": [0.5, 0.6, 0.7], "diverges": [0.4, 0.5]})
    text = report.write(found, rows, tmp_path)
    assert "60.00% ± 10.00" in text and "100" in text and "1,000" in text
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# rates\n\nDoes the rate matter?\n\n    python -m")
    assert "Seeds 0, 1, 2, 3; digits; 10 steps; 1 x cpu; 2 cores of a processor" in page
    assert "| base/seed3           | failed   | no \\| reason |" in page
    for name in ("metric", "curves", "parameters", "macs"):
        assert f"]({name}.png)" in page
        assert len(np.unique(Image.open(tmp_path / f"{name}.png"))) > 10
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert list(table[0])[:6] == ["arm", "seed", "status", *results.COSTS]
    assert [row["test/accuracy"] for row in table[:4]] == ["0.5", "0.6", "0.7", ""]
    assert [row["status"] for row in table[:4]] == ["done", "done", "done", "failed"]


def test_the_experiments_own_conclusion_ends_the_report(make, experiment_file):
    with experiment_file.open("a") as file:
        file.write(
            "\n\ndef conclude(values):\n    return f\"first: {values['base'][0]}\"\n"
        )
    found, rows = make({"base": [0.5], "diverges": []})
    assert report.write(found, rows, found.runs[0].workdir).endswith("\n\nfirst: 0.5")
    assert "\n\nfirst: 0.5\n\n!" in (found.runs[0].workdir / "report.md").read_text()


def test_a_metric_that_is_no_share():
    assert report._plus_minus("test/psnr", 31.2345, 0.456) == "31.23 ± 0.46"
    assert report._plus_minus("test/mean_iou", 0.91234, 0.0123) == "91.23% ± 1.23"


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
    header, _, base, *_ = report.table(
        found, report.summarize(found, rows), "github"
    ).splitlines()
    names, values = ([c.strip() for c in row.split("|")] for row in (header, base))
    cells = dict(zip(names, values, strict=True))
    assert cells["moved/accuracy"] == "30.00% ± 7.07"
    assert "moved/loss" not in cells and "best/test/accuracy" not in cells


def test_a_page_without_a_place_for_it(tmp_path):
    from cnn_jax.analysis import page_tables

    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(UserError, match="lacks the lines '<!-- rates -->'"):
        page_tables.update(Path(tmp_path / "page.md"), "rates", "text")


def test_plots_show_any_metric(make, tmp_path, monkeypatch):
    found, rows = make({"base": [0.5] * 4, "diverges": [0.4] * 4})
    monkeypatch.setattr(results, "main_metric", lambda _: "test/iou/price $5^^$")
    plots.write(found, rows, report.summarize(found, rows), tmp_path)
