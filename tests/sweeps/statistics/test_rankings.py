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
    same = rankings.kendall(FIRST, FIRST)
    assert (same.tau, same.high) == (1, 1)
    apart = {name: {s: 10 * v for s, v in runs.items()} for name, runs in FIRST.items()}
    reverse = {
        name: {s: -v for s, v in enumerate(runs.values())}
        for name, runs in apart.items()
    }
    assert rankings.kendall(FIRST, reverse).tau == -1


def test_settings_without_runs_are_left_out():
    assert rankings.kendall(FIRST, FIRST | {"b": {}}).settings == 2
    assert rankings.kendall(FIRST, {"a": {0: 1.0}}) is None


def test_one_seed_tells_nothing_about_noise():
    once = {name: {0: runs[0]} for name, runs in FIRST.items()}
    found = rankings.kendall(FIRST, once)
    assert (found.tau, found.low, found.high) == (1, -1, 1)


@pytest.mark.parametrize("deviation", [0.3, 1.5])
def test_the_interval_covers(deviation, monkeypatch):
    """At least nine in ten intervals of 95% contain the tau of the true means."""
    monkeypatch.setattr(rankings, "DRAWS", 400)
    rng = np.random.default_rng(2)
    first = np.arange(8.0)
    second = first[[1, 0, 2, 5, 4, 3, 7, 6]]
    true = stats.kendalltau(first, second).statistic
    inside = []
    for _ in range(100):
        runs = [sampled(means, deviation, 5, rng) for means in (first, second)]
        found = rankings.kendall(*runs)
        inside.append(found.low - 1e-9 <= true <= found.high + 1e-9)
    assert np.mean(inside) >= 0.9


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
    assert "3 settings" in said
    assert "Too few" in rankings.agreement({}, "digits", "photos")
