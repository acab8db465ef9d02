"""Polynomial and exponential decay against PyTorch's formulas, written out."""

import numpy as np
import pytest

from cnn_jax.training.schedules.decay import exponential, polynomial
from tests.training.schedules.rates import rates, warmed

PEAK, STEPS = 0.3, 20
K = np.arange(STEPS + 3)


@pytest.mark.parametrize("warmup", [0, 5])
@pytest.mark.parametrize(("power", "end"), [(1.0, 0.0), (0.9, 0.0), (2.0, 0.1)])
def test_polynomial(warmup, power, end):
    """`PolynomialLR(total_iters, power)`, whose last learning rate is 0."""
    schedule = polynomial(PEAK, STEPS, warmup=warmup, power=power, end_factor=end)
    done = np.clip((K - warmup) / (STEPS - warmup), 0, 1)
    after = PEAK * end + (PEAK - PEAK * end) * (1 - done) ** power
    wanted = warmed(PEAK, warmup, K, after)
    np.testing.assert_allclose(rates(schedule, len(K)), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("warmup", [0, 5])
def test_exponential(warmup):
    """`ExponentialLR(gamma)`, at the end of the run at the fraction `end_factor`."""
    schedule = exponential(PEAK, STEPS, warmup=warmup, end_factor=0.05)
    gamma = 0.05 ** (1 / (STEPS - warmup))
    wanted = warmed(PEAK, warmup, K, PEAK * gamma ** (K - warmup))
    np.testing.assert_allclose(rates(schedule, len(K)), wanted, rtol=1e-5)
    assert float(schedule(STEPS)) == pytest.approx(0.05 * PEAK)
