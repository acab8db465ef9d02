"""What all commands share: how they end, and what they print."""

import warnings

import pytest

from cnn_jax import command
from cnn_jax.errors import DataWarning


def test_a_warning_about_data_is_printed_once_in_one_line(capsys):
    def main():
        for text in ("a.png is\ndamaged.", "b.png is damaged.", "a.png is\ndamaged."):
            warnings.warn(DataWarning(text), stacklevel=2)

    command.run(main)
    lines = ["warning: a.png is damaged.", "warning: b.png is damaged."]
    assert capsys.readouterr().err.splitlines() == lines


def test_other_warnings_are_shown_as_python_shows_them():
    with pytest.warns(FutureWarning, match="soon"):
        command.run(lambda: warnings.warn(FutureWarning("soon"), stacklevel=2))
