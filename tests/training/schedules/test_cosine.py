"""Cosine decay against its closed formula, and against PyTorch's with restarts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.training.schedules.cosine import cosine, cosine_restarts
from tests.training.schedules.rates import LENGTHS, PEAKS, rates, warmed


@settings(max_examples=15, deadline=None)
@given(PEAKS, LENGTHS, st.integers(0, 10), st.floats(0, 1))
def test_cosine(peak, steps, warmup, end):
    schedule = cosine(peak, steps, warmup=warmup, end_factor=end)
    k = np.arange(steps + 3)
    done = np.clip((k - warmup) / max(steps - warmup, 1), 0, 1)
    low = peak * end
    after = low + (peak - low) * (1 + np.cos(np.pi * done)) / 2
    expected = warmed(peak, warmup, k, after)
    np.testing.assert_allclose(
        rates(schedule, steps + 3), expected, rtol=1e-4, atol=1e-6 * peak
    )


@pytest.mark.parametrize(
    ("steps", "cycles", "length_factor", "first"),
    [(40, 4, 1.0, 10), (70, 3, 2.0, 10), (12, 1, 1.0, 12)],
)
def test_restarts_as_in_pytorch(steps, cycles, length_factor, first):
    """`CosineAnnealingWarmRestarts(T_0=first, T_mult=length_factor, eta_min=0.02)`."""
    schedule = cosine_restarts(
        0.2, steps, cycles=cycles, length_factor=length_factor, end_factor=0.1
    )
    wanted, length, current = [], first, 0
    for _ in range(steps):
        wave = (1 + math.cos(math.pi * current / length)) / 2
        wanted.append(0.02 + (0.2 - 0.02) * wave)
        current += 1
        if current >= length:
            current, length = 0, length * length_factor
    np.testing.assert_allclose(rates(schedule, steps), wanted, rtol=1e-4, atol=1e-7)


def test_restarts_at_lower_peaks_after_the_warm_up():
    schedule = cosine_restarts(0.8, 24, warmup=4, cycles=2, peak_factor=0.5)
    found = rates(schedule, 24)
    np.testing.assert_allclose(found[:5], [0.2, 0.4, 0.6, 0.8, 0.8], rtol=1e-5)
    np.testing.assert_allclose(found[[9, 14, 19]], [0.4, 0.4, 0.2], rtol=1e-5)


def test_more_cycles_than_steps():
    found = rates(cosine_restarts(0.8, 3, cycles=9), 3)
    assert np.all(np.isfinite(found)) and found[0] > 0
