"""Names with options, written like calls."""

import pytest

from cnn_jax.core import calls
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Share


def erased(image, *, share: Share, size: tuple[int, ...] = (1, 2)):
    """A function with options."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ", []),
        ("focal", [("focal", {})]),
        ("focal()", [("focal", {})]),
        ("my.Loss(a=-1, b='x'), c", [("my.Loss", {"a": -1, "b": "x"}), ("c", {})]),
    ],
)
def test_a_text_has_names_and_options(text, expected):
    assert calls.parsed(text) == expected


@pytest.mark.parametrize("text", ["a b", "focal(2)", "a(b=c)", "1", "a]+[b", "("])
def test_other_texts(text):
    with pytest.raises(ValueError):
        calls.parsed(text)


def test_options_have_types_ranges_and_defaults():
    found = calls.checked("a.b", "thing", "erased", {"share": 1}, erased)
    assert found == {"share": 1.0, "size": (1, 2)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sare": 1}, "unknown option of the thing 'erased': 'sare'. Did you mean"),
        ({}, "config.a.b: the thing 'erased' needs the option 'share'"),
        ({"share": 2}, r"config.a.b: erased\(share\)=2.0 must be"),
        ({"share": "x"}, r"config.a.b: erased\(share\) must be of type float"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        calls.checked("a.b", "thing", "erased", options, erased)
