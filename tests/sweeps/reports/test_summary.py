"""Summaries of arms, from results that are known."""

import pytest

from cnn_jax.sweeps.reports.summary import summarize


def test_only_common_seeds_are_compared(make):
    found, rows = make(
        {"base": [0.1, None, 0.7, 0.8], "diverges": [None, 0.2, 0.7, 0.9]}
    )
    *_, diverges = summarize(found, rows)
    assert diverges.seeds == 3 and diverges.difference.seeds == 2
    assert diverges.difference.mean == pytest.approx(0.05)
