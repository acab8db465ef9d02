"""The simulation in a small form; its full table takes minutes."""

import dataclasses

import numpy as np
import pytest

from cnn_jax.sweeps import simulate
from cnn_jax.sweeps.simulate import Row
from cnn_jax.sweeps.statistics import sequential


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def within(row, sweeps):
    """True if the share is in its range, up to three standard errors."""
    slack = 3 * np.sqrt(row.share * (1 - row.share) / sweeps)
    return row.low - slack <= row.share <= row.high + slack


def test_coverage(rng):
    assert within(simulate._student_coverage(rng, 200, 3), 200)
    assert within(simulate._crossed_coverage(rng, 200, 3, "all three"), 200)
    assert within(simulate._crossed_coverage(rng, 200, 3, "correct or not"), 200)


def test_the_scores_have_the_variances_that_they_should(rng):
    table, base = simulate._scores(rng, 2000, "mostly seeds")
    assert table.mean(1).std() == pytest.approx(1.0, abs=0.05)
    assert table.mean(0).std() == pytest.approx(1.0, abs=0.15)
    assert not base.any()
    first, second = simulate._scores(rng, 100, "correct or not")
    assert {*np.unique(first)} == {*np.unique(second)} == {0.0, 1.0}
    assert first.mean() == pytest.approx(0.8, abs=0.07)
    arms = simulate._sweep(rng, [0.0, 0.5], 5000)
    one, two = (
        np.array(list(values.values())) - np.array(list(base.values()))
        for values, base in arms.values()
    )
    assert (one.std(), two.mean()) == pytest.approx((1.0, 0.5), abs=0.05)
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_false_claims_and_power(rng):
    looks, means = sequential.schedule(30), [0.0, simulate.MARGIN] * 3
    assert within(simulate._false_claims(rng, 40, "", means, looks), 40)
    assert within(simulate._power(rng, 40, 1.5 / 0.7, 5), 40)
    assert within(simulate._same_power(rng, 300), 300)
    assert within(simulate._pilot(rng, 100, 1.0), 100)


@pytest.mark.parametrize(
    ("verdict", "mean", "false"),
    [
        ("better", 0.0, True),
        ("worse, by less than the margin", 0.0, True),
        ("same", 0.0, False),
        ("undecided", 0.0, False),
        ("better", 1.0, False),
        ("better, by less than the margin", 1.0, True),
        ("same", 1.0, True),
        ("undecided", 1.0, False),
    ],
)
def test_what_a_false_claim_is(verdict, mean, false):
    assert simulate._is_false(verdict, mean) == false


def test_every_row_is_made():
    found = list(simulate.rows(sweeps=1))
    settings = [(row.measured, row.setting) for row in found]
    assert len(settings) == len(set(settings)) == 35
    assert found == list(simulate.rows(sweeps=1))


def test_the_command_prints_the_table(monkeypatch, capsys):
    row = Row("coverage", "3 seeds", 0.93, 0.97, 0.951)
    monkeypatch.setattr(simulate, "rows", lambda sweeps, seed: [row])
    assert simulate.main(["--sweeps=2000"]) == 0
    printed = capsys.readouterr().out
    assert "coverage  3 seeds    93.0% to 97.0%  95.1%    yes" in printed
    assert "2,000 sweeps a row, 8,000 for a power" in printed
    row = dataclasses.replace(row, share=0.9)
    monkeypatch.setattr(simulate, "rows", lambda sweeps, seed: [row])
    assert simulate.main([]) == 1
    assert "NO" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        simulate.main(["--sweeps=0"])
    assert "give a number of at least 1" in capsys.readouterr().err
