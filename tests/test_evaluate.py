"""The flags of `evaluate`, and what they ask of `runs`."""

from pathlib import Path

import pytest

CONFIG = "--config=configs/mlp.py"


@pytest.mark.parametrize(
    ("flags", "what", "options"),
    [
        (
            [],
            "evaluate",
            {
                "split": "test",
                "checkpoint": None,
                "output": "table",
                "predicted": None,
            },
        ),
        (
            [
                "--split=train",
                "--checkpoint=last",
                "--format=json",
                "--predictions=found.csv",
            ],
            "evaluate",
            {
                "split": "train",
                "checkpoint": "last",
                "output": "json",
                "predicted": Path("found.csv"),
            },
        ),
        (
            ["--probe=knn", "--checkpoint=12"],
            "probe_run",
            {"kind": "knn", "checkpoint": "12", "output": "table"},
        ),
    ],
)
def test_a_run(flags, what, options, asked):
    found = asked("evaluate", "--workdir=runs/x", *flags)
    assert found == [(what, (Path("runs/x"),), options)]


def test_weights(asked):
    flags = [CONFIG, "--config.model.hidden=7", "--probe=linear"]
    ((what, (config,), options),) = asked("evaluate", *flags)
    assert (what, config.model.hidden) == ("probe_weights", (7,))
    assert options == {"kind": "linear", "output": "table"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give either --workdir=FOLDER, or --config=FILE.py"),
        (
            ["--workdir=x", CONFIG],
            2,
            "give either --workdir=FOLDER, or --config=FILE.py",
        ),
        ([CONFIG], 2, "--config needs --probe"),
        (["--workdir=x", "--config.seed=1"], 2, "--workdir uses the config of the run"),
        (["--workdir=x", "--probe=knn", "--split=train"], 2, "leave out --split"),
        (
            ["--workdir=x", "--probe=knn", "--predictions=x.csv"],
            2,
            "leave out --predictions",
        ),
        (
            [CONFIG, "--probe=knn", "--checkpoint=last"],
            2,
            "--checkpoint needs --workdir",
        ),
        ([CONFIG, "--probe=knn"], 1, "set --config.model.init_from=PATH"),
    ],
)
def test_probes_that_cannot_be(arguments, code, words, call):
    found, _, err = call("evaluate", *arguments)
    assert found == code and words in err and "Traceback" not in err
