"""The agreement of two rankings, against SciPy and in a simulation."""

import numpy as np
import pytest
from scipy import stats

from cnn_jax.sweeps.statistics import rankings

FIRST = {"a": {0: 0.9, 1: 0.92}, "b": {0: 0.8, 1: 0.82}, "c": {0: 0.5, 1: 0.52}}


def sampled(means, deviation, seeds, rng):
    """Runs of settings with known means."""
    noise = rng.normal(0, deviation, (len(means), seeds))
    return {
        str(i): dict(enumerate(mean + row))
        for i, (mean, row) in enumerate(zip(means, noise, strict=True))
    }


def test_tau_is_that_of_scipy():
    rng = np.random.default_rng(1)
    runs = [sampled(rng.normal(size=7), 0.1, 4, rng) for _ in range(2)]
    means = [[np.mean([*r.values()]) for r in each.values()] for each in runs]
    expected = stats.kendalltau(*means)
    found = rankings.kendall(*runs)
    assert found.settings == 7
    assert found.tau == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.low <= found.tau <= found.high
    assert rankings.kendall(*runs) == found


def test_clear_rankings_have_a_narrow_interval():
    rng = np.random.default_rng(0)
    first, second = (sampled([5, 3, 1], 0.1, 5, rng) for _ in range(2))
    same = rankings.kendall(first, second)
    assert (same.tau, same.low, same.high) == (1, 1, 1)
    reverse = {name: {s: -v for s, v in runs.items()} for name, runs in second.items()}
    found = rankings.kendall(first, reverse)
    assert (found.tau, found.low, found.high) == (-1, -1, -1)


def test_a_pair_without_a_known_order_counts_both_ways():
    """b and c are alike on the second data set, so one of three pairs is unknown."""
    rng = np.random.default_rng(0)
    first = sampled([5, 3, 1], 0.1, 5, rng)
    second = sampled([5, 3, 3], 0.1, 5, rng)
    found = rankings.kendall(first, second)
    assert (found.low, found.high) == (pytest.approx(1 / 3), 1)


def test_settings_without_runs_are_left_out():
    assert rankings.kendall(FIRST, FIRST | {"b": {}}).settings == 2
    assert rankings.kendall(FIRST, {"a": {0: 1.0}}) is None


def test_one_seed_tells_nothing_about_noise():
    once = {name: {0: runs[0]} for name, runs in FIRST.items()}
    found = rankings.kendall(FIRST, once)
    assert (found.tau, found.low, found.high) == (1, -1, 1)


@pytest.mark.parametrize("deviation", [0.3, 1.5])
def test_the_interval_covers(deviation):
    """At least 95% of the intervals contain the tau of the true means."""
    rng = np.random.default_rng(2)
    first = np.arange(8.0)
    second = first[[1, 0, 2, 5, 4, 3, 7, 6]]
    true = stats.kendalltau(first, second).statistic
    inside, widths = [], []
    for _ in range(40):
        runs = [sampled(means, deviation, 5, rng) for means in (first, second)]
        found = rankings.kendall(*runs)
        inside.append(found.low - 1e-9 <= true <= found.high + 1e-9)
        widths.append(found.high - found.low)
    assert np.mean(inside) >= 0.95
    assert np.mean(widths) < 0.5 or deviation > 1


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_interval_over_settings_covers(correlation):
    """Normal variables with correlation r have the tau 2 / pi * arcsin(r)."""
    rng = np.random.default_rng(3)
    true = 2 / np.pi * np.arcsin(correlation)
    inside = []
    for _ in range(400):
        x, noise = rng.normal(size=(2, 10))
        y = correlation * x + np.sqrt(1 - correlation**2) * noise
        low, high = rankings.fieller(stats.kendalltau(x, y).statistic, 10)
        inside.append(low <= true <= high)
    assert 0.92 <= np.mean(inside) <= 0.98


def test_the_interval_over_settings_needs_five_settings():
    assert rankings.fieller(0.5, 4) is None
    assert rankings.fieller(1.0, 8) is None
    assert rankings.fieller(float("nan"), 8) is None


def test_the_sentence_names_both_rows():
    values = {
        f"{row}, {name}": runs
        for row in ("digits", "photos")
        for name, runs in FIRST.items()
    }
    said = rankings.agreement(values, "digits", "photos")
    assert said.startswith(
        "Kendall's tau of the rankings on digits and on photos is 1.00"
    )
    assert "3 settings" in said and "over seeds" in said
    assert "over other settings" not in said
    for name, value in zip("defg", (0.4, 0.6, 0.3, 0.7), strict=True):
        values |= {f"digits, {name}": {0: value}, f"photos, {name}": {0: 1 - value}}
    assert "over other settings" in rankings.agreement(values, "digits", "photos")
    assert "Too few" in rankings.agreement({}, "digits", "photos")
