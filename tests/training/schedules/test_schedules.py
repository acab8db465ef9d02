"""Properties that all schedules share, and the schedule of a config."""

import importlib.machinery
import inspect
import sys
from types import ModuleType

import jax
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import keywords
from cnn_jax.training import schedules
from cnn_jax.training.config import Config
from tests.training.schedules.rates import rates

every_schedule = pytest.mark.parametrize("name", schedules.SCHEDULES)
WARMED = [
    name
    for name, make in schedules.SCHEDULES.items()
    if "warmup" in inspect.signature(make).parameters
]
every_warm_up = pytest.mark.parametrize("name", WARMED)


def test_only_one_cycle_has_a_rise_of_its_own():
    assert schedules.SCHEDULES.keys() - set(WARMED) == {"one_cycle"}


@every_warm_up
def test_the_first_step_trains_and_the_last_of_the_warm_up_is_the_peak(name):
    schedule = schedules.SCHEDULES[name](0.8, 100, warmup=4)
    assert [float(schedule(step)) for step in range(5)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 0.8]
    )


@every_schedule
def test_compiled_alike(name):
    schedule = schedules.SCHEDULES[name](0.3, 10)
    for step in (0, 5, 9):
        found = jax.jit(schedule)(step)
        assert float(found) == pytest.approx(float(schedule(step)), rel=1e-5)


@every_warm_up
def test_the_warm_up_is_shorter_than_the_run(name):
    schedules.SCHEDULES[name](0.1, 8, warmup=7)
    with pytest.raises(UserError, match="warm-up of 8 steps, but the whole run has 8"):
        schedules.SCHEDULES[name](0.1, 8, warmup=8)


@every_schedule
def test_every_key_changes_the_learning_rate(name):
    make = schedules.SCHEDULES[name]
    options = {"length_factor": 2.0} if name == "cosine_restarts" else {}
    plain = rates(make(0.3, 16, **options), 16)
    for key, (_, value) in keywords(make).items():
        if name == "plateau" and key != "warmup":
            continue  # it also depends on evaluations; see test_plateau.py
        if isinstance(value, bool):
            other = not value
        elif isinstance(value, tuple):
            other = (0.2,)
        else:
            other = value + 2 if isinstance(value, int) else value / 2 + 0.2
        if key == "length_factor":
            other = 3.0
        found = rates(make(0.3, 16, **options | {key: other}), 16)
        assert np.any(found != plain), key


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda peak, steps: peak, "it returned float, not a function of the step"),
        (lambda peak: None, "takes 1 positional argument"),
        (lambda peak, steps: lambda step: 1 / 0, "ZeroDivisionError"),
        (lambda peak, steps: lambda step: peak / steps, ""),
    ],
)
def test_a_schedule_of_a_user(make, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "a_user", module := ModuleType("a_user"))
    module.__spec__ = importlib.machinery.ModuleSpec("a_user", None)
    module.make = make
    config = Config(
        {"schedule": {"name": "a_user.make"}, "optimizer": {"learning_rate": 0.5}}
    )
    if not words:
        schedule = schedules.planned(config, 10, batch_size=1, examples=10)
        assert schedule(3) == 0.05
        return
    with pytest.raises(UserError, match=words):
        schedules.planned(config, 10, batch_size=1, examples=10)
