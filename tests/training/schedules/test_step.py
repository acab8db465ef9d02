"""A learning rate that falls at boundaries, against its closed formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.training.schedules.step import step
from tests.training.schedules.rates import LENGTHS, PEAKS, rates, warmed


@settings(max_examples=20, deadline=None)
@given(
    PEAKS,
    LENGTHS,
    st.integers(0, 10),
    st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).map(sorted).map(tuple),
    st.floats(0.1, 0.9),
)
def test_step(peak, steps, warmup, boundaries, factor):
    """The step at a boundary has the new rate, as in PyTorch's MultiStepLR."""
    schedule = step(peak, steps, warmup=warmup, boundaries=boundaries, factor=factor)
    k = np.arange(steps)
    passed = np.sum([k >= round(b * steps) for b in boundaries], axis=0)
    expected = warmed(peak, warmup, k, peak * factor**passed)
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-4)


def test_boundaries_within_the_warm_up_all_count():
    schedule = step(1.0, 100, warmup=50, boundaries=(0.1, 0.2), factor=0.1)
    assert float(schedule(49)) == pytest.approx(1)
    assert float(schedule(50)) == pytest.approx(0.01)


def test_he_et_al_2016():
    schedule = step(0.1, 64_000)
    k = [0, 31_999, 32_000, 47_999, 48_000, 63_999]
    assert [float(schedule(step)) for step in k] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )


@pytest.mark.parametrize("boundaries", [(0.75, 0.5), (0.5, 0.5)])
def test_boundaries_ascend(boundaries):
    with pytest.raises(UserError, match=r"boundaries=.* ascending"):
        step(0.1, 100, boundaries=boundaries)
