"""Two one-sided tests against SciPy and statsmodels, and the verdicts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cnn_jax.sweeps.statistics import paired
from cnn_jax.sweeps.statistics.equivalence import decide, same_p_value, verdict

# Student's own (1908): hours of sleep that ten people gained with two drugs.
FIRST = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
SECOND = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))


# statsmodels 0.15.0: weightstats.ttost_paired(second, first, -margin, margin)[0].
@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (3.0, 0.002655570292658671),
        (2.0, 0.1541572356690974),
        (1.0, 0.9149441145512887),
    ],
)
def test_the_p_value_is_that_of_statsmodels(margin, expected):
    assert same_p_value(SECOND, FIRST, margin) == pytest.approx(expected, rel=1e-9)
    assert same_p_value(FIRST, SECOND, margin) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(0.01, 1))
def test_the_p_value_is_the_larger_of_scipys_two(values, margin):
    found = same_p_value(dict(enumerate(values)), dict.fromkeys(range(9), 0.0), margin)
    if found is None:
        np.testing.assert_allclose(values, np.mean(values), atol=1e-9)
        return
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert found == pytest.approx(max(above, below), rel=1e-6, abs=1e-12)


def test_no_test_is_possible():
    assert same_p_value({0: 1.0}, {0: 1.0}, 0.1) is None
    assert same_p_value({0: 1.0, 1: 2.0}, {3: 1.0}, 0.1) is None
    assert same_p_value({0: 0.1 + 0.2, 1: 0.8}, {0: 0.1, 1: 0.6}, 0.5) is None
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="A margin must be above 0"):
            same_p_value(SECOND, FIRST, wrong)


@pytest.mark.parametrize(
    ("mean", "different", "equivalent", "expected"),
    [
        (0.5, True, False, "better"),
        (-0.5, True, False, "worse"),
        (0.5, True, True, "better, by less than the margin"),
        (-0.5, True, True, "worse, by less than the margin"),
        (0.5, False, True, "same"),
        (0.0, False, False, "undecided"),
    ],
)
def test_verdict(mean, different, equivalent, expected):
    assert verdict(mean, different, equivalent) == expected


def arm(mean, deviation):
    """An arm with five seeds, and a base arm of zeros."""
    steps = np.array([-1.0, 0.5, 0.0, 1.0, -0.5]) / np.sqrt(0.625)
    return dict(enumerate(mean + deviation * steps)), dict.fromkeys(range(5), 0.0)


def test_decide():
    arms = {
        "wide": arm(0.05, 0.005),
        "narrow": arm(-0.05, 0.005),
        "little": arm(0.005, 0.001),
        "alike": arm(0.0001, 0.001),
        "noisy": arm(0.02, 0.05),
        "one seed": ({0: 1.0}, {0: 0.0}),
        "no seed": ({}, {0: 0.0}),
    }
    found = decide(arms, margin=0.01)
    assert {name: d.verdict for name, d in found.items()} == {
        "wide": "better",
        "narrow": "worse",
        "little": "better, by less than the margin",
        "alike": "same",
        "noisy": "undecided",
        "one seed": "undecided",
        "no seed": "undecided",
    }
    tests = [paired.paired_difference(*pair) for pair in arms.values()]
    assert [d.difference for d in found.values()] == tests
    holm = paired.holm([t.p_value if t else None for t in tests])
    assert [d.p_value for d in found.values()] == holm
    same = paired.holm([same_p_value(*pair, 0.01) for pair in arms.values()])
    assert [d.same_p_value for d in found.values()] == same


def test_without_a_margin_no_arm_is_the_same():
    found = decide({"alike": arm(0.0001, 0.001), "lower": arm(-0.05, 0.005)})
    assert [d.verdict for d in found.values()] == ["undecided", "worse"]
    assert [d.same_p_value for d in found.values()] == [None, None]


def test_more_arms_need_stronger_evidence():
    one = arm(0.0075, 0.005)
    assert decide({"a": one}, 0.001)["a"].verdict == "better"
    crowd = {f"{i}": arm(0.0, 0.005) for i in range(10)}
    assert decide({"a": one, **crowd}, 0.001)["a"].verdict == "undecided"
