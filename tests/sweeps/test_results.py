"""The results of runs as a table."""

import csv
from pathlib import Path

import pytest

from cnn_jax.sweeps import results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config


def row(
    arm="base", seed=0, status="done", task="classification", config=None, **values
):
    config = Config({"task": {"name": task}, **(config or {})})
    run = Run(arm, seed, config, Path(f"{arm}/{seed}"), ("true",))
    found = {key.replace("__", "/"): value for key, value in values.items()}
    return Row(run, Outcome(status), found)


@pytest.mark.parametrize(
    ("task", "metric"),
    [("classification", "test/accuracy"), ("segmentation", "test/mean_iou")],
)
def test_arms_are_compared_by_the_metric_of_the_task(task, metric):
    run = row(task=task).run
    assert results.main_metric(Experiment("x", "", "", (), (run,))) == metric


def test_the_metric_on_other_splits():
    rows = [
        row(test__accuracy=0.5, shifted__accuracy=0.4, shifted__loss=1.0),
        row(test__accuracy=0.5, early__accuracy=0.3, best__test__accuracy=0.6),
    ]
    assert results.other_splits(rows, "test/accuracy") == [
        "early/accuracy",
        "shifted/accuracy",
    ]


def test_the_results_of_an_arm_by_seed():
    rows = [
        row(seed=0, test__accuracy=1),
        row(seed=1, test__accuracy=0.25),
        row(seed=2, status="failed"),
        row(seed=3, test__accuracy=None),
        row(arm="wide", seed=4, test__accuracy=0.75),
    ]
    found = results.by_seed(rows, "base", "test/accuracy")
    assert found == {0: 1.0, 1: 0.25} and type(found[0]) is float
    assert results.by_seed(rows, "narrow", "test/accuracy") == {}


def test_a_table_of_all_runs(tmp_path):
    """An empty cell is unknown; what is no number has no column."""
    rows = [
        row(arm="a, b", test__accuracy=0.5, parameters=10, config_hash="12ab", step=4),
        row(seed=1, status="failed"),
        row(seed=2, test__accuracy=0.25, shifted__loss=2.0, macs=7),
    ]
    path = tmp_path / "results.csv"
    results.write_csv(path, rows)
    with path.open(newline="") as lines:
        found = list(csv.reader(lines))
    columns = ["arm", "seed", "status", *results.COSTS]
    assert found[0] == [*columns, "shifted/loss", "step", "test/accuracy"]
    assert found[1:] == [
        ["a, b", "0", "done", "10", "", "", "", "4", "0.5"],
        ["base", "1", "failed", *[""] * 6],
        ["base", "2", "done", "", "7", "", "2.0", "", "0.25"],
    ]
    results.write_csv(path, rows[:1])  # another one takes its place
    assert len(path.read_text().splitlines()) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]


def test_config_values_that_differ_between_arms():
    """Values that only change with the seed are left out."""

    def with_model(arm, seed, **model):
        config = {
            "seed": seed,
            "data": {"subset_seed": seed, "val": 0},
            "model": model,
        }
        return row(arm, seed, config=config)

    rows = [
        with_model("base", 0, name="cnn", kernel_size=(3, 3), dropout=None),
        with_model("base", 1, name="cnn", kernel_size=(3, 3), dropout=None),
        with_model("wide", 0, name="cnn", kernel_size=(5, 5), dropout=0.5),
        with_model("mlp", 0, name="mlp", bias=True, dropout=None),
    ]
    assert results.swept(rows) == [
        {"model.name": "cnn", "model.kernel_size": "(3, 3)", "model.dropout": None},
        {"model.name": "cnn", "model.kernel_size": "(3, 3)", "model.dropout": None},
        {"model.name": "cnn", "model.kernel_size": "(5, 5)", "model.dropout": "0.5"},
        {"model.name": "mlp", "model.bias": "true", "model.dropout": None},
    ]
    assert results.swept(rows[:2]) == [{}, {}]


def test_swept_values_are_columns_before_the_costs(tmp_path):
    rows = [
        row("narrow", config={"model": {"hidden": (8,), "rate": 0.5}}, parameters=3),
        row("wide", config={"model": {"hidden": (12, 4)}}, parameters=5),
    ]
    results.write_csv(tmp_path / "results.csv", rows)
    with (tmp_path / "results.csv").open(newline="") as lines:
        found = list(csv.reader(lines))
    assert found[0] == [
        *("arm", "seed", "status", "model.hidden", "model.rate"),
        *results.COSTS,
    ]
    assert [line[3:6] for line in found[1:]] == [
        ["(8,)", "0.5", "3"],
        ["(12, 4)", "", "5"],
    ]
