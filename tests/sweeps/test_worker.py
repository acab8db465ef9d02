"""Several runs in one process: real runs, and small modules in place of them."""

import sys

import pytest

from cnn_jax.sweeps import experiment, local
from cnn_jax.sweeps.local import Slot
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config

MODULE = """
import os, sys

text = sys.stdin.read()
print(sys.argv[1:], repr(text), os.getpid(), flush=True)
if "fail" in sys.argv:
    sys.exit("error: failed")
"""

LATE = """
import signal, time

told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
print("ready", flush=True)
while not told:
    time.sleep(0.01)
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """`runs((arm, argument), ...)`: a run of a small module for each."""
    (tmp_path / "small_module.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(local, "PATIENCE", 0.005)
    command = (sys.executable, "-m", "small_module")
    return lambda *tasks: [
        Run(arm, seed, Config({}), tmp_path / f"{arm}{seed}", (*command, argument))
        for seed, (arm, argument) in enumerate(tasks)
    ]


def said(run):
    """Returns the lines that a run printed; the last line is the exit code."""
    return (run.workdir / "log.txt").read_text().splitlines()[1:]


def test_runs_of_an_arm_share_a_process_until_one_fails(runs):
    made = runs(("a", "x"), ("a", "y z"), ("b", "x"), ("b", "fail"), ("b", "x"))
    for _ in local.launch(made, [], places=[Slot()]):
        pass
    lines = [said(run) for run in made]
    codes = [f"[exit code {code}]" for code in (0, 0, 0, 1, 0)]
    assert [line[-1] for line in lines] == codes
    assert lines[3][1] == "error: failed"
    # Nobody reads the next task, or writes into the log of another run.
    assert [len(line) for line in lines] == [2, 2, 2, 3, 2]
    assert lines[1][0].startswith("['y z'] '' ")
    processes = [line[0].split()[-1] for line in lines]
    assert processes[0] == processes[1] and processes[2] == processes[3]
    assert len({*processes}) == 3


def test_each_slot_has_its_own_process(runs):
    made = runs(*[("a", "x")] * 4)
    for _ in local.launch(made, [], places=[Slot(), Slot()]):
        pass
    assert len({said(run)[0].split()[-1] for run in made}) == 2


def test_a_worker_that_cannot_start_is_said_in_the_log(runs, monkeypatch):
    monkeypatch.setattr(local, "WORKER", (sys.executable, "-m", "no_such_module"))
    (run,) = runs(("a", "x"))
    (_, (_, outcome)) = local.launch([run], [], places=[Slot()])
    assert outcome.status == "failed" and "no_such_module" in outcome.reason


def test_a_run_that_is_stopped_too_late_is_complete(runs, tmp_path):
    """The run caught the signal too late, and its process waits for the next run."""
    (run,) = runs(("a", "x"))
    (tmp_path / "small_module.py").write_text(LATE)
    events = local.launch([run], [], places=[Slot()])
    next(events)
    while "ready" not in said(run):
        pass
    events.close()  # as an error in its reader does
    assert said(run) == ["ready", "[exit code 0]"]


def test_training_is_the_same_as_in_a_process_of_its_own(
    experiment_file, tmp_path, rows, done
):
    """The second run finds the imports and the programs of the first."""
    found = experiment.load(
        str(experiment_file), tmp_path / "sweep", overrides={}, seeds=(0, 1)
    )
    both = [run for run in found.runs if run.arm == "base"]
    outcomes = [each for _, each in local.launch(both, [], places=[Slot()]) if each]
    assert [each.status for each in outcomes] == ["done", "done"]
    first, second = ("\n".join(said(run)) for run in both)
    assert ": 0.0 s imports" in second and ": 0.0 s imports" not in first
    alone = tmp_path / "alone"
    command = [text for text in both[1].command[3:] if "--workdir" not in text]
    done("main", *command, f"--workdir={alone}")
    assert rows(both[1].workdir) == rows(alone)
