"""Ranges in type hints: which numbers they let through, and which they find."""

import math
from typing import Annotated

import pytest

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Examples, Number, Positive, Range, Rate, Share


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Rate, [0.0, 0.5, 0], [1.0, -1e-9, 1 - 1e-12, math.nan, math.inf, -math.inf]),
        (Positive, [1e-8, 1e30, 3], [0.0, -1.0, 1e-60, math.nan]),
        (Annotated[float, Range(most=1e30)], [1e30], [1.1e30]),
        (Number, [-1e30, 0.0], [math.inf, math.nan]),
        (float, [-3.0], [math.nan]),
        (Count, [1, 10**6], [0, -1, 10**12]),
        (Count | None, [None, 3], [0]),
        (tuple[Count, ...] | None, [None, (), (1, 2)], [(1, 0), [0]]),
        # A whole number counts, a fraction is a share.
        (Examples | Share | None, [1, 100, 0.5, 1.0, None], [0, 0.0, 1.5, 2**31]),
        (str, ["0"], []),
        (bool, [False, True], []),
        (Count | bool, [False], [0]),
    ],
)
def test_numbers_within_and_outside(hint, good, bad):
    for value in good:
        ranges.check("x", value, hint)
    for value in bad:
        with pytest.raises(UserError, match=r"x=.* must be "):
            ranges.check("x", value, hint)


def test_only_numbers_are_in_a_range():
    assert 1 in Range() and 0.5 in Range()
    assert "1" not in Range() and None not in Range()


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (0.0, Positive, "a.b=0.0 must be above 0."),
        (math.inf, Positive, "a.b=inf must be above 0 and finite."),
        (math.nan, Number, "a.b=nan must be finite."),
        (1.0, Rate, "a.b=1.0 must be at least 0 and below 1."),
        ((2, 0), tuple[Count, ...], "a.b=(2, 0) must be at least 1 and at most 10"),
        (10**400, Count, "must be at least 1"),
    ],
)
def test_the_message_names_the_key_the_value_and_the_range(value, hint, words):
    with pytest.raises(UserError) as error:
        ranges.check("a.b", value, hint)
    assert words in str(error.value)


def test_a_hint_without_its_ranges():
    assert ranges.plain(Examples | Share | None) == int | float | None
    assert ranges.plain(tuple[Count, ...] | None) == tuple[int, ...] | None
    assert ranges.plain(str | None) == str | None


def test_the_ranges_of_a_hint():
    assert list(ranges.bounds_of(Count | None)) == [Range(least=1, most=10**6)]
    assert list(ranges.bounds_of(tuple[float, ...] | None)) == [None]
    assert list(ranges.bounds_of(Number)) == [Range()]
    assert list(ranges.bounds_of(str | bool | None)) == []
