"""Type hints in words."""

import pytest

from cnn_jax.core import key_texts
from cnn_jax.core.keys import REQUIRED, Key
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Count, Fraction, Rate


@pytest.mark.parametrize(
    ("hint", "types", "limits"),
    [
        (Rate, ["float"], "≥ 0, < 1"),
        (Count | None, ["int", "None"], "≥ 1, ≤ 1,000,000"),
        (Count | Fraction, ["int", "float"], "≥ 1, ≤ 1,000,000 or > 0, < 1"),
        (tuple[Rate, ...], ["tuple of float"], "≥ 0, < 1"),
        (str, ["str"], ""),
        (Place, ["path"], ""),
    ],
)
def test_a_hint(hint, types, limits):
    assert key_texts.types_of(hint) == types
    assert key_texts.range_of(hint) == limits


def test_the_units_of_a_duration_share_a_row():
    keys = {
        "every_steps": Key(int | None, None),
        "every_epochs": Key(float | None, 1.0),
        "keep": Key(int, 1),
    }
    (names, duration, meaning), (_, keep, _) = key_texts.joined(
        keys, ("steps", "epochs")
    )
    assert (names, meaning) == (["every_steps", "every_epochs"], "every")
    assert duration.default == "1 epoch" and keep == keys["keep"]
    (row,) = key_texts.joined({"steps": Key(int, REQUIRED)}, ("steps",))
    assert row[1].default is REQUIRED and row[2] == "steps"
