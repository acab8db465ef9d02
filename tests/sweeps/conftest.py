"""A small experiment of three arms, one of which fails."""

import json
import textwrap

import numpy as np
import pytest

from cnn_jax.sweeps import experiment, predictions, results, runner
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config

DEVICE = {"count": 1, "kind": "cpu", "cores": 2, "processor": "a processor"}

EXPERIMENT = '''
    """Does the rate matter?

    A second paragraph.
    """

    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits(epochs=2)
        config.model = {"name": "mlp", "hidden": (8,)}
        config.schedule.warmup_epochs = 0.5
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


class Killed(Exception):
    """The end of a sweep at an event of its launcher."""


class Fake:
    """A sweep whose runs are not trained: their accuracies are known.

    Args:
      workdir: the sweep's folder.
      arms: {arm: (base arm or None, accuracies by seed)}; None is a run that fails.
    """

    def __init__(self, workdir, arms):
        self.workdir, self.arms = workdir, arms
        self.rows, self.started, self.kill_at = {}, [], None

    def experiment(self, seeds):
        config = Config({"task": {"name": "classification"}})
        runs = [
            Run(arm, seed, config, self.workdir / arm / f"seed{seed}", ("true",))
            for arm in self.arms
            for seed in seeds
        ]
        arms = tuple(Arm(name, {}, base) for name, (base, _) in self.arms.items())
        return Experiment("fake", "", "sweep", arms, tuple(runs))

    def read(self, experiment):
        missing = Outcome("missing")
        return [self.rows.get(r.name, Row(r, missing, {})) for r in experiment.runs]

    def incomplete(self, runs):
        done = {n for n, row in self.rows.items() if row.outcome.status == "done"}
        return [run for run in runs if run.name not in done]

    def finish(self, run):
        """Writes the results of a run."""
        value = self.arms[run.arm][1][run.seed]
        if value is None:
            outcome, found = Outcome("failed", "the loss is nan"), {}
        else:
            outcome = Outcome("done")
            found = {"test/accuracy": value, "train_seconds": 20.0}
            run.workdir.mkdir(parents=True, exist_ok=True)
            (run.workdir / "results.json").touch()
        self.rows[run.name] = Row(run, outcome, found)
        return outcome

    def launch(self, runs, stopped):
        for run in runs:
            self.event()
            self.rows[run.name] = Row(run, Outcome("unfinished"), {})
            self.started.append(run.name)
            yield run, None
            self.event()
            yield run, self.finish(run)

    def event(self):
        if self.kill_at == 0:
            raise Killed
        if self.kill_at is not None:
            self.kill_at -= 1


def accuracies(shift, deviation, stream, seeds=12):
    noise = np.random.default_rng(stream).standard_normal(seeds)
    return [0.9 + shift + deviation * x for x in noise.tolist()]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake(**arms)`: a sweep with these arms, compared to "base"; see `Fake`."""

    def make(**arms):
        base = {"base": (None, arms.pop("base", [0.9] * 12))}
        others = {arm: ("base", values) for arm, values in arms.items()}
        made = Fake(tmp_path / "sweep", base | others)
        monkeypatch.setattr(results, "read", made.read)
        monkeypatch.setattr(runner, "incomplete", made.incomplete)
        monkeypatch.setattr(runner.pages, "write", lambda *_: "the report")
        monkeypatch.setattr(runner.tensorboard, "write", lambda *_: None)
        return made

    return make
