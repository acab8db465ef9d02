"""Values as text, for commands and for people."""

import pytest

from cnn_jax.sweeps.run import as_text, short_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        ("max", "max"),
        ((1, 2), "(1, 2)"),
        (0.1, "0.1"),
        (1e-5, "1e-05"),
    ],
)
def test_values_as_text(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123456, "0.01235"), (3, "3"), ((1, 2), "(1, 2)")]
)
def test_values_as_short_text(value, text):
    assert short_text(value) == text
