"""The learning rate that falls on a plateau of the validation score."""

import json

import numpy as np
import optax
import pytest

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import schedules, setup
from cnn_jax.training.schedules.plateau import plateau


def factors(schedule, scores):
    """The factor of the learning rate after each evaluation."""
    params = {"x": np.float32(1)}
    state = schedule.wrapped(optax.sgd(schedule)).init(params)
    found = []
    for score in scores:
        state = schedules.reacted(schedule, state, score)
        found.append(schedules.factor_of(schedule, state))
    return found


def test_the_rate_falls_after_evaluations_without_an_improvement():
    schedule = plateau(0.4, 100, factor=0.5, patience=2)
    scores = [0.1, 0.2, 0.2, 0.3, 0.3, np.nan, 0.29, 0.31, 0.1, 0.1, 0.1, 0.1]
    expected = [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert factors(schedule, scores) == expected
    scores = [0.1, 0.105, 0.11, 0.115]
    schedule = plateau(0.4, 100, factor=0.5, patience=2, min_delta=0.01)
    assert factors(schedule, scores) == [1, 1, 0.5, 0.5]


def test_the_lowest_rate():
    schedule = plateau(0.4, 100, factor=0.1, patience=1, least_factor=0.05)
    np.testing.assert_allclose(
        factors(schedule, [1.0, 0.0, 0.0, 0.0]), [1, 0.1, 0.05, 0.05]
    )


def test_the_factor_multiplies_the_updates():
    schedule = plateau(0.4, 100, warmup=2, factor=0.5, patience=1)
    optimizer = schedule.wrapped(optax.sgd(schedule, momentum=0.9))
    plain = optax.sgd(schedule, momentum=0.9)
    params, grads = {"x": np.float32(1)}, {"x": np.float32(3)}
    state, other = optimizer.init(params), plain.init(params)
    for factor in (1, 0.5, 0.25):
        update, state = optimizer.update(grads, state, params)
        expected, other = plain.update(grads, other, params)
        np.testing.assert_allclose(update["x"], factor * expected["x"], rtol=1e-6)
        state = schedules.reacted(schedule, state, 0.0 if factor == 1 else -1.0)
        if factor == 1:
            state = schedules.reacted(schedule, state, -1.0)


def test_other_schedules_do_not_react():
    state = optax.sgd(0.1).init({"x": np.float32(1)})
    schedule = schedules.find("constant")(0.1, 10)
    assert schedules.reacted(schedule, state, 0.5) is state
    assert schedules.factor_of(schedule, state) == 1


def test_a_run(values, tmp_path, capsys):
    """The learning rate is too low to improve, so each evaluation lowers it further."""
    groups = {
        "optimizer": {"learning_rate": 1e-9},
        "schedule": {"name": "plateau", "patience": 1, "factor": 0.5},
        "train": {"steps": 6, "log_every_steps": 2},
    }
    config = resolve(values(**groups))
    runs.train(config, tmp_path / "run")
    rows = map(
        json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    )
    rates = [row["train/learning_rate"] for row in rows if "train/loss" in row]
    np.testing.assert_allclose(rates, [1e-9, 1e-9, 5e-10], rtol=1e-6)
    said = "".join(capsys.readouterr())
    assert "step 4  learning rate 5e-10 from now on" in said


def test_a_plateau_needs_a_validation_split(values):
    groups = {"schedule": {"name": "plateau"}, "data": {"val": 0}}
    config = resolve(values(**groups))
    with pytest.raises(UserError, match="plateau needs a validation split"):
        setup.check_roles(config, setup.dataset(config), plateau(0.1, 8))
