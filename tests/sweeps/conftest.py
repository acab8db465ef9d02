"""A small experiment of three arms, one of which fails."""

import json
import textwrap

import numpy as np
import pytest

from cnn_jax.sweeps import experiment, predictions
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.results import Row

DEVICE = {"count": 1, "kind": "cpu", "cores": 2, "processor": "a processor"}

EXPERIMENT = '''
    """Does the rate matter?

    A second paragraph.
    """

    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits(epochs=2)
        config.model = {"name": "mlp", "hidden": (8,)}
        config.eval.every_epochs = 1
        if arg == "few":
            config.data.train_examples = 64
        return config


    def sweep():
        yield "base", {}
        yield "wider, by half", {"model.hidden": (12,)}
        yield "diverges", {"optimizer.learning_rate": 1e30}
'''


@pytest.fixture
def experiment_file(tmp_path):
    path = tmp_path / "rates.py"
    path.write_text(textwrap.dedent(EXPERIMENT).lstrip())
    return path


@pytest.fixture
def make(experiment_file, tmp_path):
    """`make({arm: [a value per seed]})`: the experiment, and rows with such accuracies;
    None is a run that failed."""

    def make_rows(accuracies):
        found = experiment.load(
            str(experiment_file), tmp_path / "sweep", overrides={}, seeds=(0, 1, 2, 3)
        )
        rows = []
        for run in found.runs:
            values = accuracies.get(run.arm, [])
            value = values[run.seed] if run.seed < len(values) else None
            if value is None:
                rows.append(Row(run, Outcome("failed", "no | reason"), {}))
                continue
            run.workdir.mkdir(parents=True, exist_ok=True)
            content = {"versions": {"jax": "1", "flax": "2"}, "device": DEVICE}
            (run.workdir / "config.json").write_text(json.dumps(content))
            lines = [{"step": s, "test/accuracy": value * s / 10} for s in (5, 10)]
            (run.workdir / "metrics.jsonl").write_text(
                "\n".join(map(json.dumps, lines))
            )
            costs = {"parameters": 100, "macs": 1000, "examples_per_second": 10.0}
            found_results = {"step": 10, "test/accuracy": value, **costs}
            rows.append(Row(run, Outcome("done"), found_results))
        return found, rows

    return make_rows


def keep(workdir, correct, **arrays):
    """Writes the predictions of a run: of class 0, and wrong ones of class 1."""
    count = len(correct)
    kept = {
        "identity": np.array([f"test/{i}" for i in range(count)]),
        "index": np.arange(count),
        "label": np.zeros(count, np.int32),
        "prediction": 1 - np.asarray(correct, np.int32),
        "probability": np.ones(count, np.float32),
        "loss": np.ones(count, np.float32),
    }
    path = workdir / predictions.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **kept | arrays)
    return path


@pytest.fixture
def make_kept(make):
    """`make_kept({arm: [correct examples per seed]})`: as `make`, with predictions."""

    def make_rows(correct):
        found, rows = make(
            {arm: [np.mean(one) for one in seeds] for arm, seeds in correct.items()}
        )
        for row in rows:
            if row.results:
                keep(row.run.workdir, correct[row.run.arm][row.run.seed])
        return found, rows

    return make_rows
