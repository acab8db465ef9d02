"""What all commands share: how they end, and what they print."""

import io
import os
import sys
import warnings

import pytest

from cnn_jax import command
from cnn_jax.errors import DataWarning, UserError

STREAMS = ("stdout", "stderr")


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


def test_a_terminal_without_the_characters_gets_escapes(monkeypatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in STREAMS}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)

    def main():
        print("猫", os.fsdecode(b"\xe9"))
        warnings.warn(DataWarning("é\tb"), stacklevel=2)
        raise UserError(os.fsdecode(b"\xe9\x1b\nfor you"))

    with pytest.raises(SystemExit):
        command.run(main)
    found = {}
    for name, stream in streams.items():
        stream.flush()
        found[name] = stream.buffer.getvalue().decode("ascii")
    assert found["stdout"] == "\\u732b \\udce9\n"
    assert found["stderr"] == ("warning: \\xe9\\tb\nerror: \\xe9\\x1b for you\n")


def test_a_path_that_no_file_can_have_is_one_line(capsys):
    with pytest.raises(SystemExit):
        command.run(lambda: os.stat("x" * 300))
    assert capsys.readouterr().err.startswith("error: File name too long (xxx")
