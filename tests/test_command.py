"""Flags, overrides, and how a command ends."""

import argparse
import errno
import io
import os
import sys
import warnings
from pathlib import Path

import pytest

from cnn_jax import command
from cnn_jax.core.errors import DataWarning, UserError


def parser(**options):
    made = command.Parser("main", "What it does.", **options)
    command.add_config(made, required=False)
    made.add_argument("--steps", type=command.count)
    return made


# ------------------------------------------------------------------------------ flags


def test_values_of_a_config_stand_among_the_flags():
    flags = parser(overrides=True).parse(
        [
            "--config.model.name=vgg11",
            "--config=configs/vgg.py:cifar10",
            "--config.data.dir",
            "with=sign and\nlines",
            "--steps=3",
            "--config.seed=",
        ]
    )
    assert (flags.config, flags.steps) == ("configs/vgg.py:cifar10", 3)
    assert flags.overrides == {
        "model.name": "vgg11",
        "data.dir": "with=sign and\nlines",
        "seed": "",
    }


def test_the_last_value_of_a_key_holds():
    flags = parser(overrides=True).parse(["--config.seed=1", "--config.seed=2"])
    assert flags.overrides == {"seed": "2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.seed"], "--config.seed needs a value"),
        (["--step=3"], "unrecognized arguments: --step=3"),  # nothing is abbreviated
        (["--steps=0"], "--steps: the value must be at least 1, got 0"),
        (["--steps=many"], "--steps: invalid"),
        (["more"], "unrecognized arguments: more"),
        (["--config.a-b=3"], "unrecognized arguments"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        parser(overrides=True).parse(arguments)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert err.startswith("error: ") and words in err and err.count("\n") == 1
    assert err.endswith("(--help lists the flags)\n")


def test_a_command_without_a_config_takes_no_values():
    with pytest.raises(SystemExit):
        parser().parse(["--config.seed=1"])


def test_counts():
    assert command.count("12") == 12
    for text in ("0", "-3"):
        with pytest.raises(argparse.ArgumentTypeError):
            command.count(text)


@pytest.mark.parametrize(
    ("spec", "folder"),
    [
        ("configs/resnet.py", "runs/resnet"),
        ("configs/resnet.py:cifar10", "runs/resnet-cifar10"),
        ("/home/me/my.config.py:a", "runs/my.config-a"),
        ("x.py:", "runs/x"),
    ],
)
def test_where_a_run_goes(spec, folder):
    assert command.default_workdir(spec) == Path(folder)


@pytest.mark.parametrize("smoke", [False, True])
def test_the_config_of_the_flags(smoke, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    flags = parser(overrides=True).parse(
        ["--config=configs/mlp.py", "--config.model.hidden=7"]
    )
    config = command.load_config(flags, smoke=smoke)
    assert config.model.name == "mlp" and config.model.hidden == (7,)
    assert (config.train.steps == 4) == smoke


# ---------------------------------------------------------------------- how it ends


def ended(error, capsys):
    """(exit code, stderr) of a command that raises."""

    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        command.run(main)
    out, err = capsys.readouterr()
    assert out == ""
    return stop.value.code, err


def test_a_users_mistake_is_one_line(capsys):
    assert ended(UserError("no such model."), capsys) == (1, "error: no such model.\n")
    assert ended(UserError("two\nlines"), capsys) == (1, "error: two lines\n")


@pytest.mark.parametrize("number", sorted(command.MACHINE_ERRORS))
def test_an_error_of_the_machine_is_one_line(number, capsys):
    words = os.strerror(number)
    error = OSError(number, words, "/a/file")
    assert ended(error, capsys) == (1, f"error: {words} (/a/file)\n")
    assert ended(OSError(number, words), capsys) == (1, f"error: {words}\n")


@pytest.mark.parametrize("error", [OSError(errno.EBADF, "x"), ValueError("a bug")])
def test_a_fault_of_the_program_shows_its_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        command.run(main)


def test_ctrl_c(capsys):
    assert ended(KeyboardInterrupt(), capsys) == (130, "")


def test_a_command_ends_with_its_own_code(capsys):
    assert ended(SystemExit(143), capsys) == (143, "")


def test_a_reader_that_has_left(monkeypatch, capsys):
    """Nothing is said to it, and nothing can go wrong when stdout is closed."""
    moved = []
    monkeypatch.setattr(os, "dup2", lambda a, b: moved.append(b))
    monkeypatch.setattr("sys.stdout.fileno", lambda: 99, raising=False)
    assert ended(BrokenPipeError(), capsys) == (1, "")
    assert moved == [99]


def test_what_nobody_can_catch_is_shown_but_for_an_echo(monkeypatch):
    shown = []
    monkeypatch.setattr("sys.__unraisablehook__", shown.append)

    class Info:
        def __init__(self, error):
            self.exc_value = error

    echo, other = Info(RuntimeError("Event loop is closed")), Info(ValueError("x"))
    command._unraisable(echo)
    command._unraisable(other)
    assert shown == [other]


# ---------------------------------------------------------------------------- output

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
