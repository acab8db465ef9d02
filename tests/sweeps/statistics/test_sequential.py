"""Levels of looks, and verdicts over several looks."""

import pytest

from cnn_jax.sweeps.statistics.sequential import decide, levels, schedule


def test_levels_depend_on_earlier_looks_alone():
    looks = [3, 4, 8, 15, 30]
    found = levels(looks, 30, 0.01)
    assert found == sorted(found)
    assert found[-1] < 0.01
    for k in range(len(looks)):
        assert levels(looks[:k], 30, 0.01) == pytest.approx(found[:k])
    assert levels([30], 30, 0.01) == pytest.approx([0.01])
    assert levels([30], 30, 0.01, sides=1) == pytest.approx([0.01])
    assert levels([], 30, 0.01) == []


def test_many_looks_and_very_early_looks():
    found = levels(range(1, 31), 30, 0.05 / 20)
    assert all(0 <= p <= 0.0025 for p in found)
    assert levels([1], 1000) == [0.0]
    assert levels([2, 1000], 1000)[0] == pytest.approx(0.0, abs=1e-300)


def test_looks_that_do_not_fit_are_refused():
    for looks in ([3, 3], [5, 3], [0, 3], [3, 31]):
        with pytest.raises(ValueError, match="must be ascending"):
            levels(looks, 30)


def test_schedule():
    assert schedule(30) == [6, 12, 18, 24, 30]
    assert schedule(8) == [3, 4, 5, 7, 8]
    assert schedule(10, looks=2) == [5, 10]
    assert schedule(3) == [3]
    assert schedule(2) == [2]


def arm(*differences):
    return dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0)


def test_the_first_look_that_rejects_decides():
    clear = [5.0, 5.001, 4.999, 5.0, 5.001, 4.999, -90.0, 90.0]
    alike = [0.03, -0.03, 0.0, 0.03, -0.03, 0.0, -90.0, 90.0]
    noisy = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0]
    arms = {"clear": arm(*clear), "alike": arm(*alike), "noisy": arm(*noisy)}
    for looks in ([3, 6], [3, 6, 8]):
        found = decide(arms, looks, maximum=10, margin=1.0)
        assert (found["clear"].verdict, found["clear"].seeds) == ("better", 3)
        assert (found["alike"].verdict, found["alike"].seeds) == ("same", 6)
        assert found["noisy"].verdict == "undecided"
        assert found["noisy"].seeds == looks[-1]
    assert decide(arms, [3, 6], 10)["alike"].verdict == "undecided"


def test_an_arm_with_missing_or_equal_results_is_undecided():
    arms = {"few": arm(1.0, 2.0), "equal": arm(*[1.0] * 6), "none": ({}, {0: 1.0})}
    found = decide(arms, [3, 6], 6, margin=1.0)
    assert {name: (s.verdict, s.seeds) for name, s in found.items()} == {
        "few": ("undecided", 0),
        "equal": ("undecided", 6),
        "none": ("undecided", 0),
    }
    assert decide({}, [3, 6], 6) == {}
