"""The user's own mistakes, in one line."""

import pytest

from cnn_jax.core.errors import UserError, unknown


def test_the_nearest_name_is_suggested_and_all_are_listed():
    error = unknown("schedule", "cosin", ["step", "cosine"])
    assert isinstance(error, UserError)
    assert str(error) == (
        "unknown schedule 'cosin'. Did you mean 'cosine'? Known: cosine, step."
    )


@pytest.mark.parametrize("name", ["", "x", "transformer"])
def test_nothing_is_suggested_that_is_not_near(name):
    assert str(unknown("model", name, ["vgg16", "lenet5"])) == (
        f"unknown model '{name}'. Known: lenet5, vgg16."
    )


def test_known_names_may_be_of_any_collection():
    """The names may also come from an iterator."""
    assert "Known: a, b." in str(unknown("x", "c", iter(["b", "a"])))
    assert "Known: a, b." in str(unknown("x", "c", {"b": 1, "a": 2}))
