"""The report of a search, and the plot of its trials."""

import dataclasses

import pytest
from PIL import Image

from cnn_jax.sweeps import protocol
from cnn_jax.sweeps.reports import report, search_report
from cnn_jax.sweeps.searches.study import Search, Trial

RATE, NAME = "optimizer.learning_rate", "optimizer.name"


def trial(number, state, score, rate, name="sgd", reason=""):
    values = {RATE: rate, NAME: name}
    return Trial(number, state, values, frozenset({RATE}), values, score, reason)


TRIALS = (
    trial(0, "complete", 0.905, 0.1),
    trial(1, "pruned", 0.3, 0.001, "adamw"),
    trial(2, "failed", None, 1.0, reason="the loss is nan."),
    trial(3, "complete", 0.95, 0.0123456),
)


@pytest.fixture
def searched(make, tmp_path):
    """An experiment whose second arm was searched, and the rows of its runs."""
    found, rows = make({"base": [0.5, 0.6], "wider, by half": [0.6, 0.7]})
    config = {RATE: 0.1, NAME: "sgd"}
    search = Search("wider, by half", tmp_path, 4, TRIALS, config)
    return dataclasses.replace(found, searches=(search,)), rows


def test_what_was_searched_and_what_was_found(searched, tmp_path):
    words, table, picture = search_report.write(searched[0], tmp_path, "plots/trials")
    assert words == (
        "wider, by half: 4 trials of optimizer.learning_rate, optimizer.name: 2 "
        "complete, 1 pruned (a trial goes on if its score is among the best 1/3), 1 "
        "failed. The best is trial 3: val/accuracy is 95.00% after the last step. "
        "Trials train with the seed 1000000 and read no test example."
    )
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.split("\n")]
    assert cells[0] == ["config key", "before", "best trial"]
    assert cells[2:] == [[RATE, "0.1", "0.01235"], [NAME, "sgd", "sgd"]]
    assert picture.endswith("of wider, by half](plots/trials.png)")
    with Image.open(tmp_path / "plots/trials.png") as image:
        assert image.width == 900  # a plot for each of the two values


def test_each_search_has_its_figure(searched, tmp_path):
    found, _ = searched
    several = dataclasses.replace(found, searches=found.searches * 2)
    parts = search_report.write(several, tmp_path, "trials")
    assert len(parts) == 6
    assert parts[2].endswith("(trials-wider%2C%20by%20half.png)")
    assert (tmp_path / "trials-wider, by half.png").exists()


def test_a_search_without_scores_has_no_figure(searched, tmp_path):
    found, _ = searched
    (search,) = found.searches
    failed = dataclasses.replace(search, trials=TRIALS[2:3])
    found = dataclasses.replace(found, searches=(failed,))
    words, _ = search_report.write(found, tmp_path, "trials")
    assert "The best" not in words and not (tmp_path / "trials.png").exists()


def test_the_report_has_a_place_for_it(searched, make, tmp_path, monkeypatch):
    found, rows = searched
    monkeypatch.setattr(report.plots, "write", lambda *_: [])
    monkeypatch.setattr(report.plots, "overview", lambda *_: ("", ""))
    plan = protocol.make(found)
    report.write(found, rows, tmp_path, plan)
    assert "](trials.png)" in (tmp_path / "report.md").read_text()
    section = report.section(found, rows, tmp_path, plan)
    assert "](plots/rates-trials.png)" in section
    plain = dataclasses.replace(found, searches=())
    assert search_report.write(plain, tmp_path, "trials") == []


def test_the_scores_of_a_figure(searched):
    """Scores in per cent, rates on a logarithmic axis, and a ring around the best."""
    scored = [t for t in TRIALS if t.score is not None]
    figure = search_report._figure(scored, TRIALS[3], "val/accuracy")
    rates, optimizers = figure.axes
    assert rates.get_xscale() == "log" and optimizers.get_xscale() == "linear"
    complete, pruned, best = (c.get_offsets().tolist() for c in rates.collections)
    assert complete == [[0.1, 90.5], [0.0123456, 95.0]]
    assert pruned == [[0.001, 30.0]] and best == [[0.0123456, 95.0]]
    assert rates.get_ylabel() == "val/accuracy (%)" and not optimizers.get_ylabel()
    assert [t.get_text() for t in optimizers.get_xticklabels()] == ["sgd", "adamw"]
