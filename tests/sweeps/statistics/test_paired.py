"""Paired differences against SciPy, and Holm's correction."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cnn_jax.sweeps.statistics.paired import holm, paired_difference, spread

values = st.floats(0, 1)
samples = st.lists(st.tuples(values, values), min_size=2, max_size=12)


@given(samples)
def test_paired_difference_is_scipys(pairs):
    a, b = np.array(pairs).T
    found = paired_difference(dict(enumerate(a)), dict(enumerate(b)))
    assert found.mean == pytest.approx(np.mean(a - b), abs=1e-12)
    if found.p_value is None:
        np.testing.assert_allclose(a - b, found.mean, atol=1e-9)
        return
    reference = stats.ttest_rel(a, b)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-6)
    interval = reference.confidence_interval(0.95)
    assert found.low == pytest.approx(interval.low, rel=1e-6, abs=1e-12)
    assert found.high == pytest.approx(interval.high, rel=1e-6, abs=1e-12)


def test_a_known_sample():
    """Student's own (1908): hours of sleep that ten people gained with two drugs."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_difference(dict(enumerate(second)), dict(enumerate(first)))
    assert found.mean == pytest.approx(1.58)
    assert found.p_value == pytest.approx(0.002833, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


def test_only_common_seeds_count():
    found = paired_difference({0: 1.0, 1: 2.0, 7: 100.0}, {1: 1.0, 0: 0.5, 3: -100.0})
    assert (found.seeds, found.mean) == (2, 0.75)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_one_seed_and_equal_differences_allow_no_test():
    one = paired_difference({3: 0.5}, {3: 0.25})
    assert (one.mean, one.low, one.high) == (0.25, -math.inf, math.inf)
    assert one.p_value is None
    # 0.1 + 0.2 is not 0.3: rounding is no spread.
    same = paired_difference({0: 0.1 + 0.2, 1: 0.8}, {0: 0.1, 1: 0.6})
    assert (same.low, same.high, same.p_value) == (same.mean, same.mean, None)


def test_holm():
    # In order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([]) == []


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order(p_values):
    corrected = holm(p_values)
    known = [(p, c) for p, c in zip(p_values, corrected, strict=True) if p is not None]
    assert [c is None for c in corrected] == [p is None for p in p_values]
    assert all(p <= c <= 1 for p, c in known)
    ordered = [c for _, c in sorted(known)]
    assert ordered == sorted(ordered)
    if known:  # never stricter than Bonferroni, which multiplies all by their number
        assert all(c <= min(1, p * len(known)) + 1e-12 for p, c in known)


def test_spread():
    assert spread([1.0]) is None
    assert spread([1.0, 2.0, 3.0]) == 1.0
