"""One cycle against PyTorch's `OneCycleLR`, written out."""

import math

import numpy as np
import pytest

from cnn_jax.training.schedules.one_cycle import one_cycle
from tests.training.schedules.rates import rates


def pytorch(steps, pct_start, div_factor, final_div_factor, linear):
    """`OneCycleLR(max_lr=0.5)` without the third phase."""

    def between(start, end, share):
        if linear:
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    first, top = 0.5 / div_factor, pct_start * steps - 1
    last = first / final_div_factor
    for k in range(steps):
        if k <= top:
            yield between(first, 0.5, k / top)
        else:
            yield between(0.5, last, (k - top) / (steps - 1 - top))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(
    ("steps", "pct_start", "div_factor", "final_div_factor"),
    [(40, 0.3, 25.0, 1e4), (33, 0.23, 5.0, 2.0)],
)
def test_one_cycle(steps, pct_start, div_factor, final_div_factor, linear):
    schedule = one_cycle(
        0.5,
        steps,
        peak_at=pct_start,
        start_factor=1 / div_factor,
        end_factor=1 / div_factor / final_div_factor,
        linear=linear,
    )
    wanted = list(pytorch(steps, pct_start, div_factor, final_div_factor, linear))
    np.testing.assert_allclose(rates(schedule, steps), wanted, rtol=1e-4, atol=1e-7)


def test_defaults_are_those_of_pytorch():
    found = rates(one_cycle(0.5, 40), 40)
    wanted = list(pytorch(40, 0.3, 25.0, 1e4, linear=False))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_runs(steps):
    found = rates(one_cycle(0.5, steps), steps)
    assert np.all(np.isfinite(found)) and max(found) == pytest.approx(0.5)
