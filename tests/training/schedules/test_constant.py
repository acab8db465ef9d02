"""A constant learning rate against its closed formula."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.training.schedules.constant import constant
from tests.training.schedules.rates import LENGTHS, PEAKS, rates, warmed


@settings(max_examples=15, deadline=None)
@given(PEAKS, LENGTHS, st.integers(0, 10))
def test_constant(peak, steps, warmup):
    found = rates(constant(peak, steps, warmup=warmup), steps)
    k = np.arange(steps)
    np.testing.assert_allclose(found, warmed(peak, warmup, k, peak), rtol=1e-5)
