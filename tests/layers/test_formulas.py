"""Formulas as text."""

import pytest

from cnn_jax.layers import formulas


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([(1, 1), (1, 1)], "1"),
        ([(0, 0), (1, 1)], "0x1"),
        ([(1, 2), (1, 2)], "(1, 2)"),
        ([(2, 2), (1, 2)], "(2, 2)x(1, 2)"),
    ],
)
def test_padding(pairs, text):
    assert formulas.zeros(pairs) == text


def test_sizes_name_each_dimension_once():
    dimensions = formulas.geometry((8, 8), 3, 2, "SAME", 1)
    assert formulas.sizes(dimensions) == "(8 - 3 + 0 + 1)/2 + 1 = 4"
    dimensions = formulas.geometry((9, 8), (3, 3), 1, 0, (2, 1))
    assert formulas.sizes(dimensions) == (
        "(9 - (2*(3 - 1) + 1) + 2*0)/1 + 1 = 5, (8 - 3 + 2*0)/1 + 1 = 6"
    )


def test_attributes_that_differ_from_the_default():
    plain = formulas.geometry((8, 8), 3, 1, 0, 1)
    assert formulas.attributes(plain, padding=False) == "stride 1"
    assert formulas.attributes(plain, padding=True) == "stride 1, padding 0"
    other = formulas.geometry((8, 8), 3, (2, 1), 1, 2, ceil_mode=True)
    words = "stride 2x1, padding 1, dilation 2, ceil mode"
    assert formulas.attributes(other, padding=False) == words


def test_weights():
    assert formulas.weights((3, 3, 64), 0, 576) == "3*3*64 = 576"
    assert formulas.weights((3, "4/2", 400), 400, 2800) == "(3*4/2*400) + 400 = 2,800"
