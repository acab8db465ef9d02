"""Fractional factorial designs against the textbook, and effects against regression."""

import itertools

import numpy as np
import pytest

from cnn_jax.sweeps.statistics import factorial

BASIC = ("a", "b", "c", "d")
GENERATED = {"e": ("a", "b", "c"), "f": ("b", "c", "d"), "g": ("a", "c", "d")}
FACTORS = (*BASIC, *GENERATED)


def signs(design):
    """The design's matrix: 1 where a factor is on, -1 where it is off."""
    return np.array([[1 if f in arm else -1 for f in FACTORS] for arm in design])


def test_the_design_has_resolution_four():
    """Box, Hunter and Hunter 2005, table 6.22: 2^(7-3) with E=ABC, F=BCD, G=ACD."""
    design = factorial.fraction(BASIC, GENERATED)
    matrix = signs(design)
    assert len({*design}) == 16
    assert frozenset() in design and frozenset(FACTORS) in design
    np.testing.assert_array_equal(matrix.T @ matrix, 16 * np.eye(7))
    for i, j, k in itertools.combinations(range(7), 3):
        # No main effect is that of two other factors together.
        assert abs(np.sum(matrix[:, i] * matrix[:, j] * matrix[:, k])) == 0
    levels = {name: matrix[:, FACTORS.index(name)] for name in FACTORS}
    np.testing.assert_array_equal(levels["e"], levels["a"] * levels["b"] * levels["c"])


@pytest.fixture(scope="module")
def design():
    arms = factorial.fraction(BASIC, GENERATED)
    return {"+".join(sorted(arm)) or "none": arm for arm in arms}


def test_effects_are_those_of_least_squares(design):
    rng = np.random.default_rng(0)
    values = {arm: dict(enumerate(rng.normal(size=4))) for arm in design}
    found = factorial.main_effects(values, design)
    matrix = np.column_stack([np.ones(16), signs(design.values())])
    slopes = np.array(
        [np.linalg.lstsq(matrix, [v[s] for v in values.values()])[0] for s in range(4)]
    )
    for column, factor in enumerate(FACTORS, start=1):
        assert found[factor].mean == pytest.approx(2 * slopes[:, column].mean())
        assert found[factor].low < found[factor].mean < found[factor].high


def test_seeds_of_some_arms_are_left_out(design):
    values = {
        arm: {0: float("a" in factors), 1: 7.0} for arm, factors in design.items()
    }
    del values["none"][1]
    found = factorial.main_effects(values, design)
    assert found["a"].seeds == 1 and found["a"].mean == 1
    assert found["b"].mean == 0
    assert factorial.main_effects({}, design) == {}


def test_the_table(design):
    rng = np.random.default_rng(0)
    values = {
        arm: {
            seed: 0.5 + 0.03 * ("c" in on) - 0.02 * ("f" in on) + 1e-4 * rng.normal()
            for seed in range(5)
        }
        for arm, on in design.items()
    }
    text = factorial.effects_table(values, design, "test/accuracy")
    assert "16 arms of a fractional factorial design with 5 seeds" in text
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n")
    ]
    rows = [row for row in rows if len(row) == 4][2:]
    assert rows[0][:2] == ["c", "+3.00"] and rows[0][3] == "<0.001"
    assert rows[-1][:2] == ["f", "-2.00"]
    assert "No seed has runs" in factorial.effects_table({}, design, "test/accuracy")
