"""The progress of a run: means, speed and the best result."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import progress
from cnn_jax.training.progress import NonFinite, Progress, check_ended

BEST = "val/accuracy"


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(
        progress, "time", SimpleNamespace(perf_counter=lambda: now.time)
    )
    return now


def pairs(loss, accuracy=0.5, count=1.0):
    return {
        "loss": (np.float32(loss * count), np.float32(count)),
        "objective": (np.float32(loss * count), np.float32(count)),
        "accuracy": (np.float32(accuracy * count), np.float32(count)),
    }


def test_a_row_is_the_mean_since_the_last():
    run = Progress({}, BEST)
    for step, loss in enumerate([1.0, 2.0, 6.0], 1):
        run.add(step, pairs(loss), 8)
    run.drain()
    assert run.row()["train/loss"] == 3
    run.add(4, pairs(5.0, count=4.0), 8)
    run.add(5, pairs(0.0, count=1.0), 8)
    run.drain()
    assert run.row()["train/loss"] == 4  # weighted by the counts


def test_a_saved_run_goes_on_as_if_it_had_not_stopped():
    whole, first = Progress({}, BEST), Progress({}, BEST)
    for step in (1, 2, 3):
        for run in (whole, first):
            run.add(step, pairs(step / 7), 8)
    first.drain()
    second = Progress(json.loads(json.dumps(first.saved())), BEST)
    for run in (whole, second):
        run.add(4, pairs(0.1), 8)
        run.drain()
    expected, found = whole.row(), second.row()
    assert found["train/loss"] == expected["train/loss"]
    assert found["train/accuracy"] == expected["train/accuracy"]


def test_sums_of_several_numbers_are_saved_too():
    """A regression with several numbers for each example has such sums."""
    run = Progress({}, BEST)
    for step in (1, 2):
        errors = np.array([0.1, 0.7], np.float32) * step, np.float32(8)
        run.add(step, pairs(1.0) | {"errors": errors}, 8)
    run.drain()
    again = Progress(json.loads(json.dumps(run.saved())), BEST)
    for name, (total, count) in run._totals.items():
        np.testing.assert_array_equal(again._totals[name][0], total)
        assert again._totals[name][1] == count


def test_speed_leaves_out_compilation_and_rests(clock):
    run = Progress({}, BEST)
    run.add(1, pairs(1), 8)
    for step in (2, 3):
        clock.time += 2
        run.add(step, pairs(1), 8)
    run.drain()
    assert run.row()["train/examples_per_second"] == 16 / 4
    run.rest()
    clock.time += 1000
    run.add(4, pairs(1), 8)
    clock.time += 1
    run.add(5, pairs(1), 8)
    run.drain()
    assert run.row()["train/examples_per_second"] == 8 / 1
    assert run.examples_per_second() == pytest.approx(24 / 5)
    assert run.seconds() == 1005
    again = Progress(run.saved(), BEST)
    clock.time += 10
    assert again.seconds() == 1015
    assert again.examples_per_second() == pytest.approx(24 / 5)


def test_the_speed_of_nothing_is_not_known(clock):
    run = Progress({}, BEST)
    assert run.examples_per_second() is None
    run.add(1, pairs(1), 8)
    run.drain()
    assert "train/examples_per_second" not in run.row()


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_the_first_loss_that_is_not_finite_is_named(loss):
    run = Progress({}, BEST)
    for step, value in ((6, 1.0), (7, loss), (8, np.nan)):
        run.add(step, pairs(value), 8)
    with pytest.raises(NonFinite, match=rf"the loss is {loss} at step 7$"):
        run.drain()


def test_a_score_that_is_no_number_is_the_best_only_of_its_like():
    run, found = Progress({}, BEST), []
    for step, score in enumerate([np.nan, np.nan, 0.5, np.nan, 0.6], start=1):
        run.evaluated(step, {BEST: score})
        found.append(run.results["best/step"])
    assert found == [1, 2, 3, 3, 5]


def test_a_run_that_ends_in_numbers_that_are_none_says_so():
    good, bad = jnp.ones(3), jnp.array([1, np.nan])
    check_ended(9, {"test/loss": 0.5, "step": 9}, {"a": good})
    with pytest.raises(NonFinite, match="test/loss is inf at step 9"):
        check_ended(9, {"test/loss": np.inf}, {"a": good})
    with pytest.raises(NonFinite, match="a parameter or statistic is nan"):
        check_ended(9, {"test/loss": 0.5}, {"a": good, "b": bad})


def test_the_best_is_the_latest_of_equals():
    run = Progress({}, BEST)
    for step, score in ((1, 0.5), (2, 0.7), (3, 0.7), (4, 0.6)):
        run.evaluated(step, {BEST: score, "test/loss": 1 - score})
    assert run.results == {
        "step": 4,
        BEST: 0.6,
        "test/loss": 0.4,
        f"best/{BEST}": 0.7,
        "best/step": 3,
    }


def test_without_a_metric_nothing_is_the_best():
    run = Progress({}, None)
    run.evaluated(2, {"test/loss": 0.5})
    run.evaluated(4, {})
    assert run.results == {"step": 4} and not run.ends_early


def test_patience_is_kept_in_a_checkpoint():
    options = {"patience": 2, "min_delta": 0.1}
    run = Progress({}, BEST, **options)
    # A checkpoint may be older than every evaluation.
    early = json.loads(json.dumps(run.saved(), allow_nan=False))
    assert not Progress(early, BEST, **options).ends_early
    for step, score in ((1, 0.5), (2, 0.55)):
        run.evaluated(step, {BEST: score})
    assert not run.ends_early
    again = Progress(run.saved(), BEST, **options)
    again.evaluated(3, {BEST: 0.58})
    assert again.ends_early and again.results["best/step"] == 3
    better = Progress(run.saved(), BEST, **options)
    better.evaluated(3, {BEST: 0.7})
    assert not better.ends_early


def test_a_validation_that_measured_nothing():
    with pytest.raises(UserError, match="val/accuracy cannot be measured: no label in"):
        Progress({}, BEST).evaluated(3, {"test/loss": 0.5})
