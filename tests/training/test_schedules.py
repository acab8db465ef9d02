"""Learning rates against their closed formulas, at every step of short runs."""

import importlib.machinery
import sys
from types import ModuleType

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.training import schedules
from cnn_jax.training.config import Config

PEAKS = st.floats(1e-4, 10.0)
LENGTHS = st.integers(11, 40)


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in range(steps)])


def warmed(peak, warmup, k, after):
    return np.where(k < warmup, peak * (k + 1) / max(warmup, 1), after)


@settings(max_examples=15, deadline=None)
@given(PEAKS, LENGTHS, st.integers(0, 10))
def test_constant(peak, steps, warmup):
    found = rates(schedules.constant(peak, steps, warmup=warmup), steps)
    k = np.arange(steps)
    np.testing.assert_allclose(found, warmed(peak, warmup, k, peak), rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(PEAKS, LENGTHS, st.integers(0, 10), st.floats(0, 1))
def test_cosine(peak, steps, warmup, end):
    schedule = schedules.cosine(peak, steps, warmup=warmup, end_factor=end)
    k = np.arange(steps + 3)
    done = np.clip((k - warmup) / max(steps - warmup, 1), 0, 1)
    low = peak * end
    after = low + (peak - low) * (1 + np.cos(np.pi * done)) / 2
    expected = warmed(peak, warmup, k, after)
    np.testing.assert_allclose(
        rates(schedule, steps + 3), expected, rtol=1e-4, atol=1e-6 * peak
    )


@settings(max_examples=20, deadline=None)
@given(
    PEAKS,
    LENGTHS,
    st.integers(0, 10),
    st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).map(sorted).map(tuple),
    st.floats(0.1, 0.9),
)
def test_step(peak, steps, warmup, boundaries, factor):
    """As PyTorch's MultiStepLR: the step at a boundary is the first at the new rate."""
    schedule = schedules.step(
        peak, steps, warmup=warmup, boundaries=boundaries, factor=factor
    )
    k = np.arange(steps)
    passed = np.sum([k >= round(b * steps) for b in boundaries], axis=0)
    expected = warmed(peak, warmup, k, peak * factor**passed)
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-4)


def test_boundaries_within_the_warm_up_all_count():
    schedule = schedules.step(1.0, 100, warmup=50, boundaries=(0.1, 0.2), factor=0.1)
    assert float(schedule(49)) == pytest.approx(1)
    assert float(schedule(50)) == pytest.approx(0.01)


def test_he_et_al_2016():
    schedule = schedules.step(0.1, 64_000)
    k = [0, 31_999, 32_000, 47_999, 48_000, 63_999]
    assert [float(schedule(step)) for step in k] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )


def test_the_first_step_trains_and_the_last_of_the_warm_up_is_the_peak():
    for name in schedules.SCHEDULES:
        schedule = schedules.SCHEDULES[name](0.8, 100, warmup=4)
        assert [float(schedule(step)) for step in range(5)] == pytest.approx(
            [0.2, 0.4, 0.6, 0.8, 0.8]
        )


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_compiled_alike(name):
    schedule = schedules.SCHEDULES[name](0.3, 10, warmup=3)
    compiled = jax.jit(schedule)
    for step in range(10):
        assert float(compiled(step)) == pytest.approx(float(schedule(step)), rel=1e-5)


@pytest.mark.parametrize("boundaries", [(0.75, 0.5), (0.5, 0.5)])
def test_boundaries_ascend(boundaries):
    with pytest.raises(UserError, match=r"boundaries=.* ascending"):
        schedules.step(0.1, 100, boundaries=boundaries)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_the_warm_up_is_shorter_than_the_run(name):
    schedules.SCHEDULES[name](0.1, 8, warmup=7)
    with pytest.raises(UserError, match="warm-up of 8 steps, but the whole run has 8"):
        schedules.SCHEDULES[name](0.1, 8, warmup=8)


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
