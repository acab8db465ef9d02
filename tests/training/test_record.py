"""The records of a run: its log, TensorBoard and the console."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.training import parallel, record, setup, startup
from cnn_jax.training.evaluation import Evaluation
from cnn_jax.training.record import Report, named_leaves


class Recorded:
    """A log that keeps what it is told: (what, its arguments)."""

    complaint = None

    def __init__(self, workdir, step, mark):
        self.opened, self.told, self.closed = (workdir, step), [], False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def __getattr__(self, what):
        return lambda *arguments: self.told.append((what, *arguments))

    def of(self, what):
        return [arguments for kind, *arguments in self.told if kind == what]


@pytest.fixture
def logs(monkeypatch):
    """The logs that were opened."""
    found = []

    def opened(*arguments):
        found.append(Recorded(*arguments))
        return found[-1]

    monkeypatch.setattr(record, "Log", opened)
    return found


@pytest.fixture
def begun(made, tmp_path, logs):
    """`begun()`: the report of a run that goes on from step 2."""

    def begin():
        training = setup.training(made.network, 24)
        return Report(tmp_path, training, 2)

    return begin


def test_a_run_begins_with_its_config_its_layers_and_its_inputs(
    begun, logs, made, tmp_path
):
    inputs = list(np.zeros((3, 8, 8, 1), np.uint8))
    with begun() as told:
        told.begin("| layer |", {"arm": "small"}, inputs, ["test/loss"])
    (log,) = logs
    assert log.opened == (tmp_path, 2) and log.closed
    (config, summary) = log.of("text")
    assert config[:2] == [0, "config"] and "\n| data.batch_size | 8 |" in config[2]
    assert summary == [0, "summary", "| layer |"]
    ((values,),) = log.of("hparams_row")
    assert values["arm"] == "small" and values["data.batch_size"] == 8
    assert None not in values.values()  # units of lengths that were not taken
    assert not log.of("hparams_columns")
    ((step, name, picture),) = log.of("image")
    assert (step, name, picture.dtype) == (0, "train/augmented", np.uint8)
    assert log.told[-1][0] == "flush"


def test_a_run_of_no_sweep_has_its_own_columns(begun, logs):
    with begun() as told:
        told.begin(
            "| layer |", {"by": "me"}, [np.zeros((8, 8, 1), np.uint8)], ["test/loss"]
        )
    ((values,),) = logs[0].of("hparams_row")
    assert logs[0].of("hparams_columns") == [[values, ["test/loss"]]]


def test_the_learning_rate_is_that_of_the_step_that_was_made(
    begun, logs, monkeypatch, made
):
    counted = []

    def schedule(count):
        counted.append(count)
        return 0.25

    training = setup.training(made.network, 24)
    training = dataclasses.replace(training, schedule=schedule)
    monkeypatch.setattr(setup, "training", lambda *_: training)
    with begun() as told:
        told.training(3, {"train/loss": 1.5}, 0.5)
    row = {"train/loss": 1.5, "train/learning_rate": 0.125}  # times the factor
    assert logs[0].of("scalars") == [[3, row]]
    assert counted == [2]  # counted from 0


def test_an_evaluation_is_written(begun, logs, made, capsys):
    confusion = (np.eye(10), 8.0)
    totals = {"loss": (np.float64(6), 8.0), "accuracy": (np.float64(4), 8.0)}
    counts = (np.ones((3, 10)), 8.0)
    arrays = {"confusion": confusion, "class_counts": counts}
    found = Evaluation(totals | arrays, [], [])
    params = made.states[2].params
    scores = {"test/loss": 0.75, "test/accuracy": 0.5, "test/macro_f1": 1.0}
    with begun() as told:
        told.evaluation(4, "test", found, {"val/loss": 9.0} | scores)
        told.parameters(4, params)
    (log,) = logs
    ((step, name, table),) = log.of("text")
    assert (step, name) == (4, "test/classes")
    assert table.splitlines()[2] == "| 0 | 1 | 1.0000 | 1.0000 | 1.0000 |"
    assert log.of("scalars") == [[4, scores]]
    assert [(step, name) for step, name, _ in log.of("image")] == [
        (4, "test/confusion")
    ]
    ((step, leaves),) = log.of("histograms")
    assert step == 4 and leaves.keys() == named_leaves(params).keys()
    line = "step 4  test/loss 0.7500  test/accuracy 0.5000\n"
    assert line in capsys.readouterr().err


def test_an_evaluation_without_pictures(begun, logs):
    found = Evaluation({"confusion": (np.eye(10), 8.0)}, [], [])
    with begun() as told:
        told.evaluation(4, "val", found, {"val/loss": 0.75}, pictures=False)
    (log,) = logs
    assert log.of("scalars") == [[4, {"val/loss": 0.75}]]
    assert log.of("image") == log.of("text") == []


def test_the_first_step_tells_how_long_the_start_took(begun, monkeypatch, capsys):
    seconds = iter([{"seconds": 6.0, "imports": 2.0}, None])
    monkeypatch.setattr(startup.CLOCK, "stop", lambda: next(seconds))
    with begun() as told:
        told.step(3)
        told.step(4)
    assert capsys.readouterr().err == "first step after 6.0 s: 2.0 s imports\n"


def test_other_hosts_are_silent(begun, logs, made, monkeypatch, capsys):
    monkeypatch.setattr(parallel, "is_main_host", lambda: False)
    totals = {"loss": (np.float64(6), 8.0)}
    with begun() as told:
        told.begin("", {}, [np.zeros((8, 8, 1), np.uint8)], [])
        told.training(3, {"train/loss": 1.5}, 0.5)
        told.evaluation(4, "test", Evaluation(totals, [], []), {"test/loss": 0.75})
        told.parameters(4, made.states[2].params)
        told.say("a line")
    assert logs == [] and capsys.readouterr() == ("", "")


def test_the_log_is_closed_after_an_error(begun, logs):
    with pytest.raises(ZeroDivisionError), begun():
        raise ZeroDivisionError
    assert logs[0].closed


def test_parameters_have_their_paths_as_names():
    params = {"stem": {"conv": {"kernel": jnp.ones((2, 3))}}, "head": jnp.zeros(4)}
    found = named_leaves(parallel.replicate(params))
    assert {name: value.shape for name, value in found.items()} == {
        "weights/stem/conv/kernel": (2, 3),
        "weights/head": (4,),
    }
    assert all(type(value) is np.ndarray for value in found.values())
