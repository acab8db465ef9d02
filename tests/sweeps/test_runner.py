"""A sweep's runs: the order, and what ends it."""

import collections
import contextlib
import os
import shutil
import signal
from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import local, protocol, protocol_file, runner
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config
from cnn_jax.training.signals import Stopped
from tests.sweeps.conftest import Killed, accuracies


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


# ------------------------------------------------------------------ launchers, reports


def test_the_launcher_of_this_machine(monkeypatch):
    slots = [local.Slot(), local.Slot()]
    asked = []
    monkeypatch.setattr(local, "slots", lambda *given: asked.append(given) or slots)
    options = {"address": None, "num_cpus": 1.0, "num_gpus": 0.0}
    launch, at_once = runner.launcher(
        "local", cores_per_run=3, runs_per_device=4, **options
    )
    assert (asked, at_once) == ([(3, 4)], 2)
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


def test_the_missing_runs_are_done_and_all_are_reported(fake, capsys):
    sweep = fake(a=[0.8, 0.9])
    experiment = sweep.experiment((0, 1))
    sweep.finish(experiment.runs[0])
    rows = runner.complete(
        experiment,
        protocol.make(experiment),
        (sweep.launch, 1),
        workdir=sweep.workdir,
    )
    assert sweep.started == ["base/seed1", "a/seed0", "a/seed1"]
    assert [row.run.name for row in rows] == ["base/seed0", *sweep.started]
    said = capsys.readouterr()
    assert "(4/4 done" in said.err and said.out.startswith("the report\n")


# ----------------------------------------------------------------- until it is decided


ARMS = {
    "better": accuracies(0.05, 0.001, 1),
    "same": accuracies(0.0, 0.001, 2),
    "noisy": accuracies(0.0, 0.05, 3),
    "flaky": [None if seed in (1, 7) else 0.8 + seed / 1e4 for seed in range(12)],
    "diverges": [None] * 12,
}
MOST = 12  # seeds; looks at 3, 5, 8, 10 and 12


def until_decided(sweep, most=MOST, anew=False, **options):
    experiment = sweep.experiment(range(most))
    made = protocol.make(experiment, until=True, **{"margin": 1.0} | options)
    with contextlib.suppress(UserError):  # there are failed runs
        runner.complete(
            experiment, made, (sweep.launch, 1), workdir=sweep.workdir, anew=anew
        )
    found = made.decide(experiment, sweep.read(experiment))
    return {arm: (stop.verdict, stop.seeds) for arm, stop in found.items()}


def counts(sweep):
    return collections.Counter(name.partition("/")[0] for name in sweep.started)


def test_seeds_are_added_until_each_arm_is_decided(fake, capsys):
    sweep = fake(**ARMS)
    found = until_decided(sweep)
    assert found == {
        "better": ("better", 5),
        "same": ("same", 8),
        "noisy": ("undecided", 12),
        "flaky": ("worse", 4),  # of five seeds
        "diverges": ("undecided", 0),
    }
    assert counts(sweep) == {
        "base": 12,
        "better": 5,
        "same": 8,
        "noisy": 12,
        "flaky": 5,
        "diverges": 3,
    }
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "decided" in line] == [
        f"{n} of 5 compared arms are decided" for n in (0, 2, 3, 3, 3)
    ]
    # The progress counts the runs of the look, and those before: 14 of 18 are complete.
    assert "(1/18 done" in lines[0] and "(15/24 done" in lines[19]


def test_failed_runs_alone_are_trained_again(fake):
    sweep = fake(**ARMS)
    first = until_decided(sweep)
    sweep.started.clear()
    assert until_decided(sweep) == first
    assert counts(sweep) == {"flaky": 1, "diverges": 3}


def test_a_sweep_that_was_killed_ends_alike(fake):
    """Killed before or during a run, it has the same decisions from the same runs."""
    arms = {"clear": ARMS["better"], "flaky": ARMS["flaky"]}
    whole = fake(**arms)
    expected = until_decided(whole, most=5)
    assert expected == {"clear": ("better", 3), "flaky": ("worse", 3)}
    for event in range(0, 2 * len(whole.started), 3):
        sweep = fake(**arms)
        shutil.rmtree(sweep.workdir, ignore_errors=True)
        sweep.kill_at = event
        with pytest.raises(Killed):
            until_decided(sweep, most=5)
        sweep.kill_at = None
        assert until_decided(sweep, most=5) == expected
        assert {*sweep.started} == {*whole.started}


def test_a_base_arm_has_the_seeds_of_its_arms(fake):
    sweep = fake(middle=ARMS["better"])
    sweep.arms["end"] = "middle", accuracies(0.05, 0.05, 4)
    sweep.arms["alone"] = None, [0.5] * 12
    assert until_decided(sweep)["middle"] == ("better", 5)
    assert counts(sweep) == {"base": 5, "middle": 12, "end": 12, "alone": 3}


def test_an_arm_whose_base_fails_does_not_go_on(fake):
    sweep = fake(base=[None] * 12, a=[0.9] * 12)
    assert until_decided(sweep) == {"a": ("undecided", 0)}
    assert counts(sweep) == {"base": 3, "a": 3}


def test_a_smoke_run_does_not_use_old_results(fake):
    sweep = fake(better=ARMS["better"])
    until_decided(sweep)
    first = list(sweep.started)
    sweep.started.clear()
    until_decided(sweep, anew=True)
    assert sweep.started == first


def test_the_report_shows_the_runs_of_the_protocol(fake, monkeypatch):
    sweep = fake(better=ARMS["better"], same=ARMS["same"])
    experiment = sweep.experiment(range(MOST))
    for run in experiment.runs:
        sweep.finish(run)
    shown = []
    monkeypatch.setattr(runner.pages, "write", lambda *given: shown.extend(given))
    made = protocol.make(experiment, until=True, margin=1.0)
    runner.report(experiment, sweep.workdir, None, made)
    assert [run.seed for run in shown[0].runs] == [*range(5)] * 3
    assert [row.run for row in shown[1]] == list(shown[0].runs)
    assert shown[0].command == "sweep --until=decided --max_seeds=12 --margin=1"
    assert shown[3] is made


def test_a_pilot_leaves_the_protocol_open(fake):
    sweep = fake(a=[0.9, 0.8, 0.7])
    experiment = sweep.experiment(range(3))
    made = protocol.make(experiment, detect=1.0)
    runner.complete(experiment, made, (sweep.launch, 1), workdir=sweep.workdir)
    assert len(sweep.started) == 6
    assert protocol_file.read(sweep.workdir) is None


# ------------------------------------------------------------------------------ reports


def test_there_is_nothing_to_report(monkeypatch, tmp_path):
    runs = (run_of("a"), run_of("b"))
    experiment = Experiment("width", "", "", (), runs)
    missing = [Row(run, Outcome("missing"), {}) for run in runs]
    monkeypatch.setattr(runner.results, "read", lambda _: missing)
    with pytest.raises(UserError, match=f"there is no run of width in {tmp_path}"):
        runner.report(experiment, tmp_path, None, Protocol((0,)))


def test_a_report_of_runs_that_are_not_complete(monkeypatch, tmp_path, capsys):
    """The report is written even if no run is complete."""
    runs = (run_of("a"), run_of("b"))
    experiment = Experiment("width", "", "", (), runs)
    rows = [Row(runs[0], FAILED, {}), Row(runs[1], Outcome("unfinished"), {})]
    monkeypatch.setattr(runner.results, "read", lambda _: rows)
    monkeypatch.setattr(runner.pages, "write", lambda *_: "the table")
    monkeypatch.setattr(runner.pages, "section", lambda *_: "the section")
    shown = []
    monkeypatch.setattr(runner.tensorboard, "write", lambda *given: shown.append(given))
    page = tmp_path / "page.md"
    begin, end = runner.page_tables.lines("width")
    page.write_text(f"{begin}\nold\n{end}\n")
    with pytest.raises(UserError, match="2 of 2 runs are not complete"):
        runner.report(experiment, tmp_path, page, Protocol((0,)))
    assert "the table" in capsys.readouterr().out
    assert page.read_text() == f"{begin}\nthe section\n{end}\n"
    ((said, *given),) = shown
    assert said.runs == runs and given == [rows, tmp_path]
