"""The flags of `main`, and what they ask of `runs`."""

import argparse
from pathlib import Path

import pytest

from cnn_jax import command, main

CONFIG = "--config=configs/mlp.py"


def test_training(asked):
    ((what, (config, workdir), options),) = asked("main", CONFIG, "--config.seed=3")
    assert (what, workdir, config.seed) == ("train", Path("runs/mlp"), 3)
    assert options == {"overwrite": False, "extend": False, "tags": {}}


def test_everything_that_may_be_said_of_training(asked, tmp_path):
    flags = [CONFIG, f"--workdir={tmp_path}", "--overwrite", "--smoke"]
    flags += ["--tag=arm=small", "--tag=note=a=b", "--distributed"]
    joined, (what, (config, workdir), options) = asked("main", *flags)
    assert joined[0] == "join"  # before anything uses the devices
    assert (what, workdir, config.train.steps) == ("train", tmp_path, 4)
    assert options["tags"] == {"arm": "small", "note": "a=b"}
    assert options["overwrite"] and not options["extend"]


def test_a_longer_run(asked):
    flags = [CONFIG, "--config.train.epochs=90", "--extend"]
    ((_, (config, _), options),) = asked("main", *flags)
    assert config.train.epochs == 90 and options["extend"]


def test_a_smoke_run_without_a_folder_is_made_anew_each_time(asked):
    ((_, (_, workdir), options),) = asked("main", CONFIG, "--smoke")
    assert workdir == Path("runs/mlp-smoke") and options["overwrite"]
    ((what, (workdir,), options),) = asked("main", CONFIG, "--smoke", "--mode=eval")
    assert (what, workdir) == ("evaluate", Path("runs/mlp-smoke"))
    assert options["expected"].train.steps == 4


def test_a_smoke_run_in_a_folder_of_the_users_removes_nothing(asked, tmp_path):
    ((_, _, options),) = asked("main", CONFIG, "--smoke", f"--workdir={tmp_path}")
    assert not options["overwrite"]


def test_evaluation_of_the_run_of_a_config(asked):
    ((what, (workdir,), options),) = asked("main", CONFIG + ":lecture", "--mode=eval")
    assert (what, workdir) == ("evaluate", Path("runs/mlp-lecture"))
    assert options.keys() == {"expected"} and options["expected"].model.name == "mlp"


def test_lists(done):
    out = done("main", CONFIG, "--config.seed=7", "--list")
    assert out.startswith("seed = 7    (int; ")
    assert "\nsgd " in done("main", "--list=optimizers")


@pytest.mark.parametrize("text", ["", "name", "=value"])
def test_tags_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=VALUE"):
        main.tag(text)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--config"),
        (["--list"], "--config"),
        ([CONFIG, "--mode=test"], "--mode"),
        ([CONFIG, "--tag=arm"], "write NAME=VALUE"),
        ([CONFIG, "--work=x"], "unrecognized arguments: --work=x"),
    ],
)
def test_flags_that_cannot_be(flags, words, call, monkeypatch):
    """Wrong flags are found before JAX is imported."""
    monkeypatch.setattr(command, "runs", pytest.fail)
    code, out, err = call("main", *flags)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
