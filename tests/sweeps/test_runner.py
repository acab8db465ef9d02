"""A sweep's runs: the board, the order, and what ends it."""

import os
import signal
from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import local, runner
from cnn_jax.sweeps.experiment import Experiment, Run
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.results import Row
from cnn_jax.training.config import Config
from cnn_jax.training.signals import Stopped


def run_of(arm, seed=0):
    config = Config({"task": {"name": "classification"}})
    return Run(arm, seed, config, Path("sweep") / arm, ("true",))


DONE, FAILED = Outcome("done"), Outcome("failed", "the loss is nan")


def launching(outcomes, started):
    """A launcher that does one run after the other."""

    def launch(runs, stopped):
        for run in runs:
            if stopped:
                return
            started.append(run.name)
            yield run, None
            outcome = outcomes.get(run.name, DONE)
            yield run, outcome() if callable(outcome) else outcome

    return launch


@pytest.fixture
def train(tmp_path):
    """`train(runs, outcomes)`: the runs that were started."""

    def start(runs, outcomes=(), done=0):
        started = []
        launch = launching(dict(outcomes), started)
        runner.train(runs, launch, workdir=tmp_path / "new", at_once=1, done=done)
        return started

    return start


def test_a_failed_run_does_not_stop_the_others(train, capsys):
    runs = [run_of("a"), run_of("b"), run_of("c")]
    started = train(runs, {"b/seed0": FAILED}, done=2)
    assert started == ["a/seed0", "b/seed0", "c/seed0"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("a/seed0: done after 0:00:00 (3/5 done, 0 running, 0 fa")
    assert lines[1].startswith("b/seed0: failed after 0:00:00: the loss is nan (3/5 ")
    assert "(4/5 done, 0 running, 1 failed)" in lines[2]


def test_the_run_that_others_start_from_is_the_first(train):
    runs = [run_of("a"), run_of("source"), run_of("b")]
    assert train(runs) == ["source", "a/seed0", "b/seed0"]


def test_without_the_run_that_others_start_from_there_are_none(tmp_path):
    started = []
    launch = launching({"source": FAILED}, started)
    with pytest.raises(UserError, match="start from, sweep/source, failed: the loss"):
        runner.train(
            [run_of("a"), run_of("source")],
            launch,
            workdir=tmp_path,
            at_once=1,
            done=0,
        )
    assert started == ["source"]


def test_a_signal_ends_a_sweep_when_its_runs_have_ended(tmp_path, capsys):
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)
        return Outcome("stopped")

    started = []
    launch = launching({"a/seed0": stop}, started)
    with pytest.raises(Stopped) as stopped:
        runner.train(
            [run_of("a"), run_of("b")], launch, workdir=tmp_path, at_once=1, done=0
        )
    assert stopped.value.code == 128 + signal.SIGTERM and started == ["a/seed0"]
    assert capsys.readouterr().err.endswith("run the same command again to continue.\n")


def test_one_sweep_in_a_folder(tmp_path):
    with runner.alone(tmp_path):
        inner = runner.alone(tmp_path)
        with pytest.raises(UserError, match="another sweep runs in"), inner:
            pytest.fail("both are in it")
    with runner.alone(tmp_path):  # it has ended
        pass


# -------------------------------------------------------------------------- the board


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds)`: lets time go by."""
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


@pytest.mark.parametrize(("at_once", "left"), [(1, "0:03:20"), (2, "0:01:40")])
def test_the_time_that_is_left(at_once, left, clock, capsys):
    """As long as complete runs took, for each of the rest, so many at a time."""
    runs = [run_of("abc"[i]) for i in range(3)]
    with runner.Board(0, 4, at_once) as board:
        for seconds, run in zip((80, 120), runs, strict=False):
            board.show(run, None)
            clock(seconds)
            board.show(run, DONE)
    line = capsys.readouterr().err.splitlines()[-1]
    assert (
        line
        == f"b/seed0: done after 0:02:00 (2/4 done, 0 running, 0 failed, {left} left)"
    )


def test_what_failed_at_once_says_nothing_of_the_time(clock, capsys):
    with runner.Board(1, 3, 1) as board:
        board.show(run_of("a"), None)
        clock(1)
        board.show(run_of("a"), FAILED)
    assert "left" not in capsys.readouterr().err


# ------------------------------------------------------------------ launchers, reports


def test_the_launcher_of_this_machine(monkeypatch):
    slots = [local.Slot(), local.Slot()]
    asked = []
    monkeypatch.setattr(local, "slots", lambda cores: asked.append(cores) or slots)
    options = {"address": None, "num_cpus": 1.0, "num_gpus": 0.0}
    launch, at_once = runner.launcher("local", cores_per_run=3, **options)
    assert (asked, at_once) == ([3], 2)
    assert launch.func is local.launch and launch.keywords == {"places": slots}


def test_the_launcher_of_a_cluster(monkeypatch):
    monkeypatch.setattr(runner.on_ray, "connect", lambda address: ("ray", address))
    launch, at_once = runner.launcher(
        "ray", cores_per_run=1, address="auto", num_cpus=2.0, num_gpus=0.5
    )
    assert at_once is None and launch.func is runner.on_ray.launch
    assert launch.keywords == {
        "ray": ("ray", "auto"),
        "num_cpus": 2.0,
        "num_gpus": 0.5,
    }


def test_the_missing_runs_are_done_and_all_are_reported(monkeypatch, tmp_path, capsys):
    runs = (run_of("a"), run_of("b"))
    experiment = Experiment("width", "", "", (), runs)
    reported = []
    monkeypatch.setattr(runner, "report", lambda *given: reported.append(given))
    started = []
    launched = launching({}, started), 1
    runner.complete(experiment, runs[1:], launched, workdir=tmp_path)
    assert started == ["b/seed0"]
    assert reported == [(experiment, tmp_path, None, None)]
    assert "(2/2 done" in capsys.readouterr().err


def test_there_is_nothing_to_report(monkeypatch, tmp_path):
    runs = (run_of("a"), run_of("b"))
    experiment = Experiment("width", "", "", (), runs)
    missing = [Row(run, Outcome("missing"), {}) for run in runs]
    monkeypatch.setattr(runner.results, "read", lambda _: missing)
    with pytest.raises(UserError, match=f"there is no run of width in {tmp_path}"):
        runner.report(experiment, tmp_path, None)


def test_a_report_of_runs_that_are_not_complete(monkeypatch, tmp_path, capsys):
    """It is written all the same."""
    runs = (run_of("a"), run_of("b"))
    experiment = Experiment("width", "", "", (), runs)
    rows = [Row(runs[0], FAILED, {}), Row(runs[1], Outcome("unfinished"), {})]
    monkeypatch.setattr(runner.results, "read", lambda _: rows)
    monkeypatch.setattr(runner.pages, "write", lambda *_: "the table")
    monkeypatch.setattr(runner.pages, "section", lambda *_: "the section")
    page = tmp_path / "page.md"
    begin, end = runner.page_tables.lines("width")
    page.write_text(f"{begin}\nold\n{end}\n")
    with pytest.raises(UserError, match="2 of 2 runs are not complete"):
        runner.report(experiment, tmp_path, page)
    assert "the table" in capsys.readouterr().out
    assert page.read_text() == f"{begin}\nthe section\n{end}\n"
