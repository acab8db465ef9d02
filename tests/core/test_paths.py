"""Paths that a user may write, and the errors for other values."""

from pathlib import Path

import pytest

from cnn_jax import command
from cnn_jax.core import paths
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Examples
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import recipes


def test_home_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.expanded("~/runs") == "/home/me/runs"
    assert paths.expanded("~") == "/home/me"
    assert paths.expanded("a/~") == "a/~" and paths.expanded("./~") == "./~"
    with pytest.raises(UserError, match="no user 'nobody-here'"):
        paths.expanded("~nobody-here/runs")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~backup.png").touch()
    assert paths.expanded("~backup.png") == "~backup.png"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty"),
        ("gs://bucket/runs", "is a URL"),
        ("s3://bucket", "is a URL"),
        ("file:///tmp/x", "is a URL"),
        ("a\0b", "NUL"),
        ("x" * 256, "has 256 bytes"),
        ("\xe9" * 128, "has 256 bytes"),
        ("/".join(["x" * 99] * 41), "has 4,099 bytes"),
    ],
)
def test_what_is_no_path(text, part):
    with pytest.raises(UserError, match=part):
        paths.expanded(text)


@pytest.mark.parametrize(
    "text", ["..", "a/../b", "c:d", "x" * 255, " ", "gs:", "[", "-"]
)
def test_what_is_a_path(text):
    assert paths.expanded(text) == text


@pytest.mark.parametrize(
    ("spec", "file", "argument"),
    [
        ("a.py", "a.py", ""),
        ("a.py:b", "a.py", "b"),
        ("a.py:b:c.py", "a.py", "b:c.py"),
        ("x:y/a.py", "x:y/a.py", ""),
        ("x:y/a.py:b", "x:y/a.py", "b"),
        ("README.md:b", "README.md", "b"),
    ],
)
def test_a_recipe_and_its_argument(spec, file, argument):
    assert paths.split_recipe(spec) == (file, argument)


def test_the_folder_of_a_recipe():
    assert command.default_workdir("configs/a.py") == Path("runs/a")
    assert command.default_workdir("x:y/a.py:b") == Path("runs/a-b")
    assert command.default_workdir("a.py:../../b") == Path("runs/a-..-..-b")


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("main", ["--workdir"]),
        ("main", ["--config"]),
        ("evaluate", ["--workdir"]),
        ("predict", ["--workdir=x", "a", "--output"]),
        ("predict", ["--workdir=x", "a", "--style"]),
        ("predict", ["--workdir=x", "a", "--gallery"]),
        ("convert", ["--output"]),
        ("convert", ["--weights"]),
        ("sweep", ["--workdir"]),
        ("sweep", ["--publish"]),
        ("sweep", ["--compare"]),
        ("summary", ["--update"]),
        ("benchmark", ["--output"]),
        ("benchmark", ["--images"]),
    ],
)
def test_every_flag_that_is_a_path(name, flags, call):
    """An empty one is refused, where it was `.` or unset before."""
    *before, flag = flags
    config = [] if flag == "--config" else ["--config=configs/mlp.py"]
    takes_config = name in ("main", "evaluate", "sweep", "summary", "benchmark")
    code, out, err = call(name, *(config * takes_config), *before, f"{flag}=")
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert flag in err and "the path is empty" in err
    code, _, err = call(name, *(config * takes_config), *before, f"{flag}=gs://a/b.py")
    assert code == 2 and flag in err and "is a URL" in err


def test_every_key_that_is_a_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    values = recipes.restoration("super_resolution").to_dict()
    values["model"] = {"name": "srcnn", "init_from": "~/w"}
    values["data"] |= {"dir": "~/a", "test_dir": "~/b"}
    config = resolve(values)
    assert config.data.dir == "/home/me/a" and config.data.test_dir == "/home/me/b"
    assert config.model.init_from == "/home/me/w"
    assert resolve(values, {"model.init_from": "hf:~/a"}).model.init_from == "hf:~/a"
    with pytest.raises(UserError, match=r"config.data.dir: 'gs://a' is a URL"):
        resolve(values, {"data.dir": "gs://a"})
    with pytest.raises(UserError, match=r"config.model.init_from: the path is empty"):
        resolve(values, {"model.init_from": ""})
    assert resolve(values, {"data.dir": ""}).data.dir == ""


def test_keys_that_hold_a_path():
    assert paths.is_place(paths.Place) and paths.is_place(paths.Place | None)
    assert not paths.is_place(str) and not paths.is_place(Examples | None)
