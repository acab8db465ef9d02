"""Analysis of variance of crossed arms, against statsmodels and pingouin."""

import dataclasses

import numpy as np
import pytest

from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.reports import factors

TWO_BY_TWO = [
    [[0.906, 0.934], [0.922, 0.903]],
    [[0.885, 0.89], [0.908, 0.866]],
    [[0.911, 0.893], [0.915, 0.917]],
    [[0.899, 0.915], [0.923, 0.915]],
    [[0.903, 0.881], [0.903, 0.922]],
]
TWO_BY_THREE = [
    [[0.892, 0.903, 0.907], [0.917, 0.921, 0.933]],
    [[0.879, 0.888, 0.919], [0.91, 0.875, 0.951]],
    [[0.895, 0.902, 0.899], [0.888, 0.926, 0.96]],
    [[0.909, 0.922, 0.912], [0.889, 0.906, 0.931]],
    [[0.892, 0.917, 0.927], [0.921, 0.896, 0.905]],
]
# F and degrees of freedom: statsmodels 0.15.0, AnovaRM. The corrected p-value, partial
# eta squared and epsilon: pingouin 0.7.0, rm_anova.
EXPECTED = {
    "2x2": (
        TWO_BY_TWO,
        [
            (2.2790697674, (1, 4), 0.2056399590, 0.362962963, 1.0),
            (0.8250610252, (1, 4), 0.4150814978, 0.170994941, 1.0),
            (0.4045321546, (1, 4), 0.5593292172, 0.091844523, 1.0),
        ],
    ),
    "2x3": (
        TWO_BY_THREE,
        [
            (2.6499975958, (1, 4), 0.1788802573, 0.3984960231, 1.0),
            (6.7652876811, (2, 8), 0.0309789201, 0.6284353825, 0.7846925847),
            (1.2943648948, (2, 8), 0.3227956351, 0.2444797290, 0.6184867125),
        ],
    ),
}


@pytest.mark.parametrize(("values", "expected"), EXPECTED.values(), ids=EXPECTED)
def test_the_effects_are_those_of_other_programs(values, expected):
    for effect, (f, freedom, p, share, epsilon) in zip(
        factors.analysis(np.array(values)), expected, strict=True
    ):
        assert effect.freedom == freedom
        assert effect.f == pytest.approx(f, rel=1e-8)
        assert effect.p_value == pytest.approx(p, rel=1e-6)
        assert effect.share == pytest.approx(share, rel=1e-6)
        assert effect.epsilon == pytest.approx(epsilon, rel=1e-6)


def test_rows_and_columns_change_places():
    values = np.array(TWO_BY_THREE)
    rows, columns, both = factors.analysis(values)
    turned = factors.analysis(values.transpose(0, 2, 1))
    for effect, other in zip((columns, rows, both), turned, strict=True):
        assert effect.f == pytest.approx(other.f)
        assert effect.epsilon == pytest.approx(other.epsilon)


def test_the_level_of_a_seed_does_not_matter():
    """Seeds are blocks."""
    values = np.array(TWO_BY_THREE)
    moved = values + np.arange(5)[:, None, None]
    for effect, other in zip(
        factors.analysis(values), factors.analysis(moved), strict=True
    ):
        assert effect.f == pytest.approx(other.f)


def test_no_variance_over_the_seeds():
    values = np.tile([[0.1, 0.2], [0.3, 0.4]], (3, 1, 1))
    assert factors.analysis(values) == (None, None, None)


@pytest.fixture
def crossed(make):
    """The arms of the experiment, crossed; without values for the fourth seed."""
    values = {"base": 0.9, "wider, by half": 0.8, "diverges": 0.7}
    found, rows = make({arm: [v, v + 0.01, v, v] for arm, v in values.items()})
    names = {"base": "r, x", "wider, by half": "r, y", "diverges": "s, x"}
    renamed = [
        dataclasses.replace(
            row, run=dataclasses.replace(row.run, arm=names[row.run.arm])
        )
        for row in rows
    ]
    fourth = [
        dataclasses.replace(
            row,
            run=dataclasses.replace(row.run, arm="s, y"),
            results={"test/accuracy": 0.5 + 0.02 * row.run.seed},
        )
        for row in rows[:4]
    ]
    arms = tuple(Arm(name, {}, None) for name in (*names.values(), "s, y"))
    return dataclasses.replace(found, arms=arms), [*renamed, *fourth]


def test_the_table_of_effects(crossed):
    table, legend = factors.paragraphs(*crossed)
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]
    assert lines[0] == ["effect", "F", "p", "share"]
    assert [line[0] for line in lines[2:]] == [
        "rows: r, s",
        "columns: x, y",
        "interaction",
    ]
    assert lines[2][1].startswith("F(1, 3) = ") and lines[2][3].endswith("%")
    assert "partial eta squared" in legend


def test_missing_runs_are_named(crossed):
    found, rows = crossed
    rows = [row for row in rows if (row.run.arm, row.run.seed) != ("s, x", 2)]
    assert factors.paragraphs(found, rows) == [
        "The effects of the two factors need every run. Missing: s, x/seed2."
    ]
    (said,) = factors.paragraphs(found, [])
    assert said.endswith("r, y/seed0 and 11 more.")


def test_seeds_that_an_arm_does_not_need_are_not_missing(crossed):
    found, rows = crossed
    early = [run for run in found.runs if (run.arm, run.seed) != ("base", 3)]
    rows = [row for row in rows if (row.run.arm, row.run.seed) != ("r, x", 3)]
    found = dataclasses.replace(found, runs=tuple(early))
    table, legend = factors.paragraphs(found, rows)
    assert "F(1, 2) = " in table
    assert legend.endswith(
        "the 3 seeds that all arms have, and is not corrected for the looks."
    )


def test_arms_that_are_not_crossed(make):
    assert factors.paragraphs(*make({})) == []
