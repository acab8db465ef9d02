"""The page of a report, from results that are known."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import protocol, results
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.reports import plots, report
from cnn_jax.sweeps.reports.summary import summarize


def test_what_is_written(make, tmp_path):
    found, rows = make({"base": [0.5, 0.6, 0.7], "diverges": [0.4, 0.5]})
    text = report.write(found, rows, tmp_path, protocol.make(found))
    assert "60.00% ± 10.00" in text and "100" in text and "1,000" in text
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# rates\n\nDoes the rate matter?\n\n    python -m")
    assert "Seeds 0 to 3; digits; 10 steps; 1 x cpu; 2 cores of a processor" in page
    assert "| base/seed3           | failed   | no \\| reason |" in page
    # All arms have the same costs: there is no front to show.
    assert "Pareto" not in page and not (tmp_path / "parameters.png").exists()
    for name in ("metric", "curves"):
        assert f"]({name}.png)" in page
        assert len(np.unique(Image.open(tmp_path / f"{name}.png"))) > 10
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    swept = ["model.hidden", "optimizer.learning_rate"]
    assert list(table[0])[:8] == ["arm", "seed", "status", *swept, *results.COSTS]
    assert table[0]["model.hidden"] == "(8,)"
    assert [row["test/accuracy"] for row in table[:4]] == ["0.5", "0.6", "0.7", ""]
    assert [row["status"] for row in table[:4]] == ["done", "done", "done", "failed"]


def test_the_experiments_own_conclusion_ends_the_report(make, experiment_file):
    with experiment_file.open("a") as file:
        file.write(
            "\n\ndef conclude(values):\n    return f\"first: {values['base'][0]}\"\n"
        )
    found, rows = make({"base": [0.5], "diverges": []})
    assert report.write(
        found, rows, found.runs[0].workdir, protocol.make(found)
    ).endswith("\n\nfirst: 0.5")
    assert "\n\nfirst: 0.5\n\n!" in (found.runs[0].workdir / "report.md").read_text()


def test_a_page_without_a_place_for_it(tmp_path):
    from cnn_jax.analysis import page_tables

    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(UserError, match="lacks the lines '<!-- rates -->'"):
        page_tables.update(Path(tmp_path / "page.md"), "rates", "text")


def test_plots_show_any_metric(make, tmp_path, monkeypatch):
    found, rows = make({"base": [0.5] * 4, "diverges": [0.4] * 4})
    monkeypatch.setattr(results, "main_metric", lambda _: "test/iou/price $5^^$")
    plots.write(found, rows, summarize(found, rows), tmp_path)


@pytest.fixture
def undrawn(monkeypatch):
    """No plots, which take most of the time."""
    monkeypatch.setattr(plots, "write", lambda *_: [])
    monkeypatch.setattr(plots, "overview", lambda *_: ("Caption", "plots/rates.png"))


def test_crossed_arms_have_a_cross_table_and_effects(make, tmp_path, undrawn):
    found, rows = make({"base": [0.5, 0.7], "wider, by half": [0.1], "diverges": []})
    names = {"base": "1%, head", "wider, by half": "1%, all", "diverges": "5%, head"}
    arms = tuple(Arm(name, {}, None) for name in (*names.values(), "5%, all"))
    found = dataclasses.replace(found, arms=arms)
    rows = [
        dataclasses.replace(
            row, run=dataclasses.replace(row.run, arm=names[row.run.arm])
        )
        for row in rows
    ]
    report.write(found, rows, tmp_path, protocol.make(found))
    page = (tmp_path / "report.md").read_text()
    assert "| test/accuracy   |" in page
    assert "The effects of the two factors need every run. Missing: 1%, head/se" in page


def test_predictions_add_precision_and_test_examples(make_kept, tmp_path, undrawn):
    drawn = np.random.default_rng(0).random((2, 5, 60))
    base, arm = drawn < np.array([0.6, 0.8])[:, None, None]
    found, rows = make_kept({"base": list(base[:4]), "diverges": list(arm[:4])})
    report.write(found, rows, tmp_path, protocol.make(found))
    page = (tmp_path / "report.md").read_text()
    assert "95%, seeds only |" in page and "## Precision of the differences" in page
    assert "## Test examples" in page
    sections = report.section(found, rows, tmp_path, protocol.make(found))
    assert "## Precision" not in sections and "95%, seeds only" in sections
    assert "Each row is an arm" in page and "Each row" not in sections


def test_a_published_command_has_no_paths(make, tmp_path, undrawn):
    found, rows = make({"base": [0.5, 0.6, 0.7], "diverges": [0.4, 0.5]})
    given = "--config.data.dir='/home/me/my pictures' --config.model.init_from=/w.pth"
    found = dataclasses.replace(found, command=f"python -m cnn_jax.sweep {given}")
    expected = "cnn_jax.sweep --config.data.dir=DIR --config.model.init_from=FILE\n"
    assert expected in report.section(found, rows, tmp_path, protocol.make(found))
    report.write(found, rows, tmp_path, protocol.make(found))
    assert given in (tmp_path / "report.md").read_text()
