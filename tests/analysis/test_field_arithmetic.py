"""Receptive fields of positions, against explicit sets of input positions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.analysis.field_arithmetic import Extent, everywhere, join, simplest, union
from cnn_jax.layers.arithmetic import ReceptiveField

SIZE = 1000
INPUT = Extent((ReceptiveField(),), 1, SIZE)


def seen(extent, position):
    """The first and last input of a position; None: it sees nothing."""
    field = extent.at(position)
    return field and (field.start, field.end)


def span(places):
    """The least interval that holds others."""
    places = [place for place in places if place]
    if not places:
        return None
    return min(a for a, _ in places), max(b for _, b in places)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("window"),
            *[st.integers(1, 3)] * 2,
            st.integers(0, 2),
            *[st.just(1)],
        ),
        st.tuples(st.just("repeated"), st.integers(1, 3)),
        st.tuples(st.just("interpolated"), st.integers(1, 3), st.integers(1, 4)),
    ),
    max_size=3,
)


def follow(extent, place, step):
    """An extent after a step, and what each position sees by its definition."""
    kind, *values = step
    if kind == "window":
        size, stride, before, dilation = values

        def after(i):
            first = i * stride - before
            return span(place(first + dilation * t) for t in range(size))

        return extent.window(size, stride, before, dilation), after
    if kind == "repeated":
        (times,) = values
        return extent.repeated(times, 1), lambda i: place(i // times)
    small, large = values

    def after(i):
        position = (2 * i + 1) * small / (2 * large) - 0.5
        low = int(np.floor(position))
        return span([place(low), place(low + 1) if position != low else None])

    if small == large:
        after = place
    return extent.interpolated(small, large), after


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_position_sees_what_its_definition_says(steps):
    extent, place = INPUT, lambda i: (i, i)
    for step in steps:
        extent, place = follow(extent, place, step)
    for position in range(-2, 20):
        assert seen(extent, position) == place(position)
    assert extent.offset == place(0)[0]
    period = 4**3  # of three steps that enlarge
    widths = [b - a + 1 for a, b in map(place, range(period))]
    assert extent.receptive_field == max(widths)


def test_positions_between_constants_see_nothing():
    """A transposed convolution has such constants between its positions."""
    holed = INPUT.dilated(2)
    assert [seen(holed, i) for i in range(4)] == [(0, 0), None, (1, 1), None]
    assert holed.stride == 0.5 and holed.receptive_field == 1
    windows = holed.window(3, before=1)
    assert [seen(windows, i) for i in range(4)] == [(0, 0), (0, 1), (1, 1), (1, 2)]
    nothing = Extent((None, None), 1, SIZE)
    assert (nothing.receptive_field, nothing.offset, nothing.stride) == (0, 0, None)


def test_all_positions_of_an_axis_together():
    windows = INPUT.window(3, 2, 1)
    found = windows.gathered(4)
    assert (found.axis, seen(found, 0)) == (None, (-1, 7))
    assert found.gathered(9) is found  # no axis is left
    whole = Extent((ReceptiveField(),), 1, 4).gathered(4)
    assert whole.whole and whole.receptive_field == 4 and whole.offset == 0
    # An axis of pixels holds both dimensions: of one of them, as many positions.
    merged = Extent((ReceptiveField(),), 1, SIZE, merged=(6, 5)).gathered(30)
    assert seen(merged, 0) == (0, 5)


def test_the_least_field_that_holds_others():
    fields = [ReceptiveField(2, 0, 3), None, ReceptiveField(2, -1, 1)]
    assert union(fields) == ReceptiveField(2, -1, 3)
    assert union([None]) is None and union([]) is None


def test_phases_that_are_one():
    regular = (ReceptiveField(2, 0, 4), ReceptiveField(2, 1, 5))
    assert simplest(regular) == (ReceptiveField(1, 0, 4),)
    other = (ReceptiveField(2, 0, 4), ReceptiveField(2, 0, 5))
    assert simplest(other) == other
    for phases in [(None, None), (None, regular[0]), (ReceptiveField(1), None)]:
        assert simplest(phases) == phases
    odd = (
        ReceptiveField(1),
        ReceptiveField(1, 1, 1),
    )  # half a step from one to another
    assert simplest(odd) == odd


@pytest.mark.parametrize(
    ("field", "whole"),
    [
        (ReceptiveField(3, 0, 8), False),
        (ReceptiveField(3, -1, 9), True),
        (ReceptiveField(3, 1, 20), False),
        (None, False),
    ],
)
def test_values_that_all_see_the_same(field, whole):
    found = everywhere(field, 10)
    assert (found.axis, found.whole) == (None, whole)
    assert found.receptive_field == (10 if whole else field.size if field else 0)
    assert everywhere(field, 10, whole=True).receptive_field == 10


# ---------------------------------------------------------------------------- joined


def test_branches_of_one_place():
    narrow, wide = INPUT.window(1, 2), INPUT.window(5, 2, 2)
    found = join([narrow, wide])
    assert [seen(found, i) for i in (0, 1)] == [(-2, 2), (0, 4)]
    assert join([wide, wide]) is wide


def test_branches_of_other_phases():
    """A map that was enlarged, beside one that was not."""
    doubled, plain = INPUT.window(2, 2).repeated(2, 1), INPUT
    found = join([doubled, plain])
    assert [seen(found, i) for i in range(4)] == [(0, 1), (0, 1), (2, 3), (2, 3)]


def test_branches_that_do_not_face():
    """The distance of the branches grows from one position to the next."""
    for other in (INPUT.window(1, 2), everywhere(ReceptiveField(1, 3, 4), SIZE)):
        found = join([INPUT, other])
        assert found.whole and found.axis == 1 and found.receptive_field == SIZE


def test_branches_along_other_axes():
    other = Extent((ReceptiveField(),), 2, SIZE)
    found = join([INPUT, other])
    assert (found.whole, found.axis) == (True, None)


def test_vectors_together():
    first, second = (everywhere(ReceptiveField(1, i, i + 2), SIZE) for i in (0, 7))
    found = join([first, second])
    assert (found.axis, seen(found, 0)) == (None, (0, 9))
    assert join([first, everywhere(None, SIZE, True)]).whole
