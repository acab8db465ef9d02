"""The outcome of a run, for all possible contents of its folder."""

import json
import os
import shutil
from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import digits
from cnn_jax.runs import config_json, run_folder
from cnn_jax.sweeps import experiment, protocol, results, runner
from cnn_jax.sweeps.outcome import LOG, outcome
from cnn_jax.sweeps.reports import plots
from cnn_jax.sweeps.run import incomplete
from cnn_jax.training import metrics_log


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The data of the runs, loaded once."""
    return digits.SOURCE.load(train_examples=40, test_examples=20)


@pytest.fixture
def sweep(experiment_file, template, monkeypatch, tmp_path):
    """A sweep of two arms and two seeds, with the records of complete runs."""
    monkeypatch.setattr(config_json, "_git_commit", lambda: None)
    monkeypatch.setattr(plots, "write", lambda *_: [])  # takes seconds
    found = experiment.load(
        str(experiment_file),
        tmp_path / "sweep",
        overrides={},
        seeds=(0, 1),
        only="base|wider",
    )
    for run in found.runs:
        config_json.describe(run.workdir, run.config, template, {})
        log = metrics_log.MetricsLog(run.workdir, 0, None)
        for step in (5, 10):
            log.write(json.dumps({"step": step, "test/accuracy": step / 20}))
        log.close()
        values = {"step": 10, "test/accuracy": 0.5 + run.seed / 10}
        crc = {"metrics_checksum": f"{log.mark()['crc32']:08x}"}
        run_folder.write_results(run.workdir, values | crc)
        (run.workdir / LOG).write_text("$ a command\n[exit code 0]\n")
    return found


def write(name, content):
    def spoil(folder):
        (folder / name).write_bytes(content)

    return spoil


def replaced(make, name=""):
    def spoil(folder):
        path = folder / name if name else folder
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return spoil


def truncated(name):
    return lambda folder: os.truncate(folder / name, 20)


def config_changed(folder):
    content = json.loads((folder / "config.json").read_text())
    content["config"]["optimizer"]["learning_rate"] = 3.0
    content.pop("checksum")
    (folder / "config.json").write_text(json.dumps(content))


UNUSABLE = {
    "results missing": lambda folder: (folder / "results.json").unlink(),
    "results truncated": truncated("results.json"),
    "results empty": write("results.json", b""),
    "results foreign": write("results.json", b'{"top1": 76.1}'),
    "results of nothing": write("results.json", b'{"step": 3}'),
    "results a list": write("results.json", b"[1]"),
    "results nested": write("results.json", b"[" * 10**6),
    "results FIFO": replaced(os.mkfifo, "results.json"),
    "results folder": replaced(Path.mkdir, "results.json"),
    "config truncated": truncated("config.json"),
    "config foreign": write("config.json", b'{"model_type": "resnet"}'),
    "config a number": write("config.json", b"7"),
    "config not UTF-8": write("config.json", b"\xff\xff"),
    "config FIFO": replaced(os.mkfifo, "config.json"),
    "config missing": lambda folder: (folder / "config.json").unlink(),
    "config changed": config_changed,
    "metrics FIFO": replaced(os.mkfifo, "metrics.jsonl"),
    "a file": replaced(Path.touch),
    "a FIFO": replaced(os.mkfifo),
    "a dead link": replaced(lambda path: path.symlink_to(path / "absent")),
    "log FIFO": lambda folder: [
        replaced(os.mkfifo, LOG)(folder),
        (folder / "results.json").unlink(),
        (folder / "config.json").write_bytes(b"7"),
    ],
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_the_report_is_made_with_the_runs_that_are_whole(kind, sweep, capsys):
    broken = sweep.runs[1]
    UNUSABLE[kind](broken.workdir)
    with pytest.raises(UserError, match="1 of 4 runs are not complete"):
        runner.report(sweep, broken.workdir.parents[1], None, protocol.make(sweep))
    named = [
        line for line in capsys.readouterr().out.splitlines() if "base/seed1: " in line
    ]
    assert len(named) == 1 and named[0].startswith("base/seed1: ")
    rows = results.read(sweep)
    assert [row.outcome.status == "done" for row in rows] == [True, False, True, True]
    assert results.by_seed(rows, "wider, by half", "test/accuracy") == {0: 0.5, 1: 0.6}
    page = (broken.workdir.parents[1] / "report.md").read_text()
    assert "base/seed1" in page


LEFT_OUT = {
    "missing": lambda folder: (folder / "metrics.jsonl").unlink(),
    "truncated": truncated("metrics.jsonl"),
    "another number": lambda folder: (folder / "metrics.jsonl").write_text(
        (folder / "metrics.jsonl").read_text().replace("0.5", "0.7")
    ),
    "not UTF-8": write("metrics.jsonl", b"\xff\n"),
    "foreign": write("metrics.jsonl", b"[1, 2]\n"),
    "empty": write("metrics.jsonl", b""),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_damaged_metrics_leave_a_run_out_of_the_curves_alone(kind, sweep, capsys):
    damaged = sweep.runs[1]
    LEFT_OUT[kind](damaged.workdir)
    runner.report(sweep, damaged.workdir.parents[1], None, protocol.make(sweep))
    (line,) = (
        line for line in capsys.readouterr().out.splitlines() if "base/seed1: " in line
    )
    assert "left out of the curves" in line and "metrics.jsonl" in line
    rows = results.read(sweep)
    assert results.by_seed(rows, "base", "test/accuracy") == {0: 0.5, 1: 0.6}
    assert results.curves(rows, "base", "test/accuracy").keys() == {0}


def test_pictures_without_a_curve(sweep, monkeypatch):
    for run in sweep.runs:
        (run.workdir / "metrics.jsonl").unlink()
    monkeypatch.undo()
    folder = sweep.runs[0].workdir.parents[1]
    runner.report(sweep, folder, None, protocol.make(sweep))
    assert (folder / "metric.png").exists()


def test_damage_that_training_mends_is_done_again(sweep):
    (sweep.runs[0].workdir / "results.json").write_text("{")
    text = (sweep.runs[1].workdir / "config.json").read_text()
    (sweep.runs[1].workdir / "config.json").write_text(text.replace('"std"', '"sta"'))
    assert incomplete(sweep.runs) == [sweep.runs[0], sweep.runs[1]]
    assert outcome(sweep.runs[1]).status == "unusable"


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_may_not_be_read(sweep):
    path = sweep.runs[0].workdir / "results.json"
    path.chmod(0)
    assert "Permission denied" in outcome(sweep.runs[0]).reason
