"""Every need against every fact of its name, and the errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import AllBut, Fact, Holding, Need, Part, check
from cnn_jax.core.ranges import Range


def pair(value, accepted, **more):
    """A part that gives a value, and one that takes others."""
    return [Part("taker", {}, (Need("rate", accepted, **more),)), Part("giver", value)]


@pytest.mark.parametrize(
    ("accepted", "inside", "outside", "words"),
    [
        ({25}, 25, 24, "25"),
        ({25, 30, 60}, 30, 24, "25, 30 or 60"),
        (frozenset("ab"), "b", "c", "a or b"),
        ((1, 2), 1, 3, "1 or 2"),
        (Range(least=2, below=4), 2, 4, "at least 2 and below 4"),
        (AllBut({"style"}), "class", "style", "other than style"),
        (Holding("head"), {"head", "stem"}, {"stem"}, "with head"),
    ],
)
def test_values_that_are_accepted_and_others(accepted, inside, outside, words):
    check(pair({"rate": inside}, accepted))
    with pytest.raises(UserError) as error:
        check(pair({"rate": outside}, accepted))
    assert (
        str(error.value) == f"taker takes rate {words}, and giver has rate {outside}."
    )


def test_parts_say_it_in_their_own_words():
    need = {"words": "learns at 25 Hz", "advice": "take other clips"}
    rate = Fact(12, "has 12 Hz", changes={50: "set rate=50"})
    with pytest.raises(UserError) as error:
        check(pair({"rate": rate}, {25}, **need))
    assert str(error.value) == (
        "taker learns at 25 Hz, and giver has 12 Hz: take other clips."
    )
    # A change of the giver's own is the better advice.
    with pytest.raises(UserError, match=r"has 12 Hz: set rate=50\.$"):
        check(pair({"rate": rate}, {25, 50}, **need))


def test_a_fact_that_nobody_gives_is_not_checked():
    check(pair({"other": 1}, {25}))
    check([])


NAMES = ("red", "green", "blue")
VALUES = st.integers(0, 3)
PARTS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), VALUES),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sets(VALUES, min_size=1))),
    ),
    max_size=5,
)


@given(PARTS)
def test_any_number_of_parts(drawn):
    """Parts fit if none refuses a value; the error names two that do not fit."""
    parts = [
        Part(f"<{number}>", gives, [Need(*need) for need in takes])
        for number, (gives, takes) in enumerate(drawn)
    ]
    refused = {
        (taker.name, giver.name)
        for taker in parts
        for giver in parts
        for need in taker.takes
        if need.fact in giver.gives and giver.gives[need.fact] not in need.accepted
    }
    if not refused:
        check(parts)
        return
    with pytest.raises(UserError) as error:
        check(parts)
    taker, giver = (f"<{text[0]}>" for text in str(error.value).split("<")[1:])
    assert (taker, giver) in refused
