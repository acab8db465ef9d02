"""Values of config keys."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import Key
from cnn_jax.core.ranges import Count
from cnn_jax.core.values import checked, parsed


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("none", int | None, None),
        ("true", bool, True),
        ("3", str, "3"),
        ("3", tuple[Count, ...], (3,)),
        ("(1, 2)", tuple[Count, ...], (1, 2)),
        ("mine.Crop", tuple[str, ...], ("mine.Crop",)),
        ("mine.Crop, mine.Flip", tuple[str, ...], ("mine.Crop", "mine.Flip")),
        ("('mine.Crop',)", tuple[str, ...], ("mine.Crop",)),
        ("", tuple[str, ...], ()),
        ("balanced", str | tuple[float, ...] | None, "balanced"),
        ("(1, 2.5)", str | tuple[float, ...] | None, (1, 2.5)),
        ("[1]", str | tuple[float, ...] | None, [1]),
        ("none", str | tuple[float, ...] | None, None),
        ("(1, 2)", str, "(1, 2)"),
    ],
)
def test_text_becomes_a_value(text, hint, value):
    assert parsed("a.b", text, Key(hint)) == value


def test_values_have_the_type_of_their_key():
    found = checked("a.b", 3, float)
    assert found == 3.0 and isinstance(found, float)
    assert checked("a.b", [1, 2], tuple[int, ...]) == (1, 2)
    for value, hint in ((True, int), ("x", float), (1.5, int | None)):
        with pytest.raises(UserError, match=r"config\.a\.b must be of type"):
            checked("a.b", value, hint)
