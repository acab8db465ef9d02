"""Sizes and padding as users write them, and what windows hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnn_jax.core.errors import UserError
from cnn_jax.layers import windows


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, (3, 3)),
        ((3, 4), (3, 4)),
        ([3, 4], (3, 4)),
        (np.int64(3), (3, 3)),
        ((np.int64(3), 4), (3, 4)),
    ],
)
def test_a_size_a_dimension(value, expected):
    found = windows.per_dimension(value, 2)
    assert found == expected and all(type(entry) is int for entry in found)


@pytest.mark.parametrize(
    ("value", "least", "words"),
    [
        ((3, 4, 5), 0, r"width=\(3, 4, 5\) has 3 entries where 2 are needed"),
        ((), 0, "has 0 entries where 2 are needed"),
        (0, 1, "width=0: each number must be an integer of at least 1"),
        ((1, -1), 0, r"width=\(1, -1\): each number must be an integer of at least 0"),
    ],
)
def test_sizes_that_are_none(value, least, words):
    with pytest.raises(UserError, match=words):
        windows.per_dimension(value, 2, "width", least=least)


# The padding of a window of 3 with stride 2 over 6 values, and of 5 with stride 1.
PADDED = {
    "VALID": ((0, 0), (0, 0)),
    "SAME": ((0, 1), (2, 2)),  # an odd zero at the end, as in TensorFlow
    1: ((1, 1), (1, 1)),
    (0, 2): ((0, 0), (2, 2)),
    ((0, 1), (2, 0)): ((0, 1), (2, 0)),
}


@pytest.mark.parametrize("padding", PADDED)
def test_the_five_ways_to_write_padding(padding):
    found = windows.explicit_padding(padding, (6, 7), (3, 5), (2, 1), (1, 1))
    assert found == PADDED[padding]


@settings(max_examples=30, deadline=None)
@given(*[st.integers(1, high) for high in (12, 5, 4, 3)])
def test_same_is_xlas(size, window, stride, dilation):
    pairs = windows.explicit_padding("SAME", (size,), (window,), (stride,), (dilation,))
    extent = dilation * (window - 1) + 1
    assert list(pairs) == lax.padtype_to_pads((size,), (extent,), (stride,), "SAME")


@pytest.mark.parametrize(
    ("padding", "words"),
    [
        ("SAM", "unknown padding 'SAM'. Did you mean 'SAME'"),
        ("same", "unknown padding 'same'"),
        ((1, 2, 3), "padding=.* has 3 entries where 2 are needed"),
        (((1, 2, 3), 0), "has 3 entries where 2 are needed"),
        (-1, "padding=-1: each number must be an integer of at least 0"),
        (0, "spans 9 does not fit into an input of 7"),
    ],
)
def test_padding_that_cannot_be(padding, words):
    with pytest.raises(UserError, match=f"^conv1: .*{words}"):
        windows.explicit_padding(padding, (20, 7), (3, 9), (1, 1), (1, 1), "conv1")


def test_all_of_a_window_made_explicit():
    found = windows.explicit((9, 9), 3, (1, 2), "SAME", 2)
    assert found == ((3, 3), (1, 2), ((2, 2), (2, 2)), (2, 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 1, 0, 1), "window=0: each number must be an integer of at least 1"),
        ((3, 0, 0, 1), "strides=0: each number must be an integer of at least 1"),
        ((3, 1, 0, 0), "dilation=0: each number must be an integer of at least 1"),
        ((3, (1, 1, 1), 0, 1), "strides=.* has 3 entries"),
    ],
)
def test_windows_that_cannot_be(arguments, words):
    with pytest.raises(UserError, match=words):
        windows.explicit((9, 9), *arguments, name="window")
