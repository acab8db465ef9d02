"""`cnn-jax COMMAND`, in this process: the package's test has it as users do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnn_jax
from cnn_jax import command, console

ROOT = Path(__file__).parents[1]


@pytest.fixture
def called(monkeypatch, capsys):
    """`called(*arguments)`: (exit code, stdout, stderr) of `cnn-jax`."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["/bin/cnn-jax", *arguments])
        try:
            console.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_the_help_lists_the_commands(arguments, called):
    code, out, err = called(*arguments)
    assert (code, err) == (0, "") and out.startswith("usage: cnn-jax COMMAND [FLAGS]")
    listed = dict(re.findall(r"^  (\w+) +(.+)\.$", out, re.MULTILINE))
    assert listed.keys() == console.COMMANDS.keys()
    assert listed["train"] == "Trains and evaluates the network that a config describes"


def test_the_help_does_not_import_jax():
    program = (
        "import sys; sys.argv = ['cnn-jax']; from cnn_jax import console; "
        "console.main(); assert not {'jax', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True
    )


def test_the_version(called):
    assert called("--version") == (0, f"{cnn_jax.__version__}\n", "")


def test_an_unknown_command(called):
    code, out, err = called("trian", "--config=a.py")
    assert (code, out) == (2, "")
    assert err.startswith("error: unknown command 'trian'. Did you mean 'train'?")


@pytest.mark.parametrize(("name", "module"), console.COMMANDS.items())
def test_a_command_gets_its_flags_and_its_name(name, module, called):
    code, out, _ = called(name, "--help")
    assert code == 0 and out.startswith(f"usage: cnn-jax {name} ")
    code, _, err = called(name, "--no_such_flag")
    assert code == 2 and err.startswith("error: ")
    assert command.program(module) == f"cnn-jax {name}"


def test_a_module_that_is_run_has_its_own_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/cnn_jax/main.py"])
    assert command.program("main") == "python -m cnn_jax.main"
