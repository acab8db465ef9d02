"""A sentence on each arm, from results that are known."""

import numpy as np
import pytest

from cnn_jax.sweeps.reports import sentences
from cnn_jax.sweeps.reports.summary import Summary, summarize
from cnn_jax.sweeps.statistics.bootstrap import CrossedDifference
from cnn_jax.sweeps.statistics.paired import Difference


def words(found, rows):
    return sentences.on_arms("test/accuracy", summarize(found, rows))


def test_a_difference_that_the_interval_shows(make):
    found, rows = make(
        {"base": [0.5, 0.6, 0.7, 0.8], "diverges": [0.4, 0.49, 0.6, 0.7]}
    )
    # Differences: -10, -11, -10, -10 points; t for three degrees of freedom: 3.182.
    (line,) = words(found, rows)
    assert line == (
        "* diverges: 10.25 points below base "
        "(95% interval: 9.45 to 11.05 points below)."
    )
    base, _, diverges = summarize(found, rows)
    assert base.difference is None and base.mean == pytest.approx(0.65)
    assert base.deviation == pytest.approx(np.std([5, 6, 7, 8], ddof=1) / 10)
    assert diverges.p_value < 0.001


def test_no_difference_is_claimed_where_zero_is_within(make):
    found, rows = make({"base": [0.5, 0.6, 0.7], "diverges": [0.52, 0.59, 0.72]})
    (line,) = words(found, rows)
    assert line == (
        "* diverges: no significant difference to base (95% interval: -3.30 to +5.30)."
    )


def test_several_arms_need_more_to_be_claimed(make):
    """p = 0.045 alone; among two arms it is twice that, though the interval is the
    same."""
    base, better = [0.5, 0.6, 0.7], [0.52, 0.63, 0.714]
    found, rows = make({"base": base, "diverges": better})
    assert "above base" in words(found, rows)[0]
    found, rows = make({"base": base, "wider, by half": base[::-1], "diverges": better})
    assert words(found, rows)[1] == (
        "* diverges: 2.13 points above base (95% interval: +0.13 to +4.14), "
        "significant by itself, but not among 2 comparisons (p = 0.089)."
    )


def test_one_seed_is_no_evidence(make):
    found, rows = make({"base": [0.5], "diverges": [0.9], "wider, by half": [0.5]})
    assert words(found, rows) == [
        "* wider, by half: the same as base with one seed, which may be chance.",
        "* diverges: 40.00 points above base with one seed, which may be chance.",
    ]


def test_equal_differences(make):
    found, rows = make(
        {"base": [0.5, 0.75], "diverges": [0.25, 0.5], "wider, by half": [0.5, 0.75]}
    )
    assert words(found, rows) == [
        "* wider, by half: the same as base with every seed.",
        "* diverges: 25.00 points below base with every seed; no test is possible.",
    ]


def sentence(p_value, difference, low, high, tests=1):
    """The sentence on an arm with an interval over seeds and test examples."""
    crossed = CrossedDifference(10, 360, difference.mean, low, high, 0.5, 0.5)
    made = Summary(
        *("arm", 10, 0.5, 0.1, "base", difference, p_value),
        *(crossed, "", None, {}, {}),
    )
    return sentences._sentence("test/accuracy", made, difference, tests)


def test_an_interval_over_test_examples_is_shown():
    difference = Difference(10, 0.02, 0.01, 0.03, 0.01)
    assert sentence(0.01, difference, 0.005, 0.035) == (
        "2.00 points above base (95% interval: 0.50 to 3.50 points above)"
    )


def test_a_difference_on_these_test_examples_only():
    difference = Difference(10, -0.02, -0.03, -0.01, 0.01)
    assert sentence(0.01, difference, -0.045, 0.005) == (
        "2.00 points below base on these test examples (95%, seeds only: 1.00 to 3.00 "
        "points below); on other test examples, there may be no difference (95% "
        "interval: -4.50 to +0.50)"
    )


def test_few_seeds_may_hide_a_difference():
    """The interval over seeds and examples may be narrower than that over seeds."""
    difference = Difference(3, 0.02, -0.01, 0.05, 0.1)
    assert sentence(0.1, difference, 0.001, 0.039) == (
        "no significant difference to base over the 3 seeds (p = 0.100), although the "
        "interval excludes zero (95% interval: +0.10 to +3.90): more seeds may show a "
        "difference"
    )
