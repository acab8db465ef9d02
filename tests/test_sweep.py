"""The sweep command, from a file to a report."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from cnn_jax.sweep import numbers

EXPERIMENT = '''
    """Does the width matter?"""

    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits()
        config.model = {"name": "mlp", "hidden": (8,)}
        config.data.train_examples = 256
        config.schedule.warmup_epochs = 1
        config.train = {"steps": 8}
        config.eval = {"every_steps": 2}
        return config


    def sweep():
        yield "base", {}
        yield "wide", {"model.hidden": (12,)}
'''
SEARCH = """def search(trial):
    rate = trial.suggest_float("optimizer.learning_rate", 1e-3, 1.0, log=True)
    return {"optimizer.learning_rate": rate, "optimizer.nesterov": True}
"""
DIVERGES = '    yield "diverges", {"optimizer.learning_rate": 1e30}\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "width.py"
    path.write_text(textwrap.dedent(EXPERIMENT).lstrip())
    return path


@pytest.fixture
def searched(tmp_path):
    """An experiment with a search in place of arms."""
    path = tmp_path / "rate.py"
    head = textwrap.dedent(EXPERIMENT).lstrip().partition("def sweep")[0]
    path.write_text(head + SEARCH)
    return path


def table(workdir):
    """results.csv without what depends on the machine's speed."""
    with (workdir / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        for key in ("examples_per_second", "train_seconds"):
            row.pop(key, None)
    return rows


@pytest.fixture(scope="module")
def whole(shared, run):
    """The folder of a sweep of two arms and two seeds, with its file and its output."""

    def swept(folder):
        path = folder / "width.py"
        path.write_text(textwrap.dedent(EXPERIMENT).lstrip())
        flags = [f"--config={path}", f"--workdir={folder / 'runs'}", "--seeds=2"]
        (folder / "out.txt").write_text(run("sweep", *flags))

    return shared("sweep", swept)


@pytest.fixture
def swept(whole, tmp_path):
    """(file, workdir) of a copy of the sweep."""
    folder = shutil.copytree(whole, tmp_path / "sweep")
    return folder / "width.py", folder / "runs"


@pytest.mark.full
def test_a_sweep(whole):
    workdir, out = whole / "runs", (whole / "out.txt").read_text()
    assert out.startswith("arm ") and "wide" in out and str(workdir) in out
    rows = table(workdir)
    assert [(row["arm"], row["seed"], row["status"]) for row in rows] == [
        (arm, seed, "done") for arm in ("base", "wide") for seed in "01"
    ]
    # 64 pixels, the hidden units and ten classes.
    assert [int(row["parameters"]) for row in rows[::2]] == [
        65 * n + 10 * (n + 1) for n in (8, 12)
    ]
    assert [int(row["macs"]) for row in rows[::2]] == [74 * n for n in (8, 12)]
    for row in rows:
        folder = workdir / row["arm"] / f"seed{row['seed']}"
        results = json.loads((folder / "results.json").read_text())
        assert float(row["test/accuracy"]) == results["test/accuracy"]
        assert json.loads((folder / "config.json").read_text())["tags"] == {
            "arm": row["arm"]
        }
        log = (folder / "log.txt").read_text().splitlines()
        assert log[0].startswith("$ ") and log[-1] == "[exit code 0]"
    page = (workdir / "report.md").read_text()
    assert "Does the width matter?" in page and "8 steps" in page
    assert all((workdir / f"{name}.png").exists() for name in ("metric", "curves"))


@pytest.mark.full
def test_a_sweep_of_convolutions(run, onednn, tmp_path):
    """With oneDNN, as users have it, and without."""
    flags = ["--config=experiments/pooling.py", "--smoke", "--seeds=2"]
    flags += ["--arms=max.*", f"--workdir={tmp_path / 'runs'}"]
    assert str(tmp_path) in run("sweep", *flags, env=onednn)
    assert {row["status"] for row in table(tmp_path / "runs")} == {"done"}


@pytest.mark.full
def test_again_it_does_what_is_missing_only(swept, run):
    path, workdir = swept
    kept = workdir / "wide" / "seed1" / "results.json"
    times = {p: p.stat().st_mtime_ns for p in workdir.glob("*/*/results.json")}
    before = table(workdir)
    kept.unlink()
    (workdir / "results.csv").unlink()
    flags = [f"--config={path}", f"--workdir={workdir}"]
    dry = run("sweep", *flags, "--seeds=2", "--dry_run")
    assert len(dry.splitlines()) == 1 and "wide/seed1" in dry
    run("sweep", *flags, "--seeds=2")
    assert table(workdir) == before
    changed = [p for p, t in times.items() if p.stat().st_mtime_ns != t]
    assert changed == [kept]
    # A seed more adds runs.
    out = run("sweep", *flags, "--seeds=3", "--arms=base")
    assert [row["seed"] for row in table(workdir)] == ["0", "1", "2"]
    assert out.splitlines()[2].split()[:2] == ["base", "3"]


@pytest.mark.full
def test_a_line_of_a_dry_run_is_a_run(file, tmp_path, run):
    workdir = tmp_path / "runs"
    flags = [f"--config={file}", f"--workdir={workdir}", "--seeds=4,"]
    lines = run("sweep", *flags, "--dry_run").splitlines()
    assert len(lines) == 2 and not workdir.exists()
    subprocess.run(lines[0], shell=True, check=True, capture_output=True)
    assert shlex.split(lines[0])[0] == sys.executable
    err = run("sweep", *flags, "--report_only", code=1)
    assert "1 of 2 runs are not complete" in err
    assert [row["status"] for row in table(workdir)] == ["done", "missing"]


@pytest.mark.full
def test_a_run_that_fails_does_not_stop_the_others(swept, run, tmp_path):
    path, workdir = swept
    failing = tmp_path / "width.py"
    failing.write_text(path.read_text() + DIVERGES)
    flags = [f"--config={failing}", f"--workdir={workdir}", "--seeds=2"]
    err = run("sweep", *flags, code=1)
    assert err.splitlines()[-1].startswith("error: 2 of 6 runs are not complete")
    assert [row["status"] for row in table(workdir)] == ["done"] * 4 + ["failed"] * 2
    assert "the loss is " in (workdir / "report.md").read_text()


@pytest.mark.full
def test_a_search_and_its_winner(searched, tmp_path, launch, run):
    """Killed in the middle of the search, and started again."""
    workdir = tmp_path / "runs"
    flags = [f"--config={searched}", f"--workdir={workdir}", "--seeds=1", "--trials=3"]
    process = launch("sweep", *flags)
    while not list(workdir.glob("search/trial*/checkpoints/*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=120)
    out = run("sweep", *flags)
    assert out.startswith("best of 3 trials: 3 trials, ")
    arms = [(row["arm"], row["status"]) for row in table(workdir)]
    assert arms == [("baseline", "done"), ("best of 3 trials", "done")]
    for trial in range(3):
        folder = workdir / "search" / f"trial{trial}"
        rows = (folder / "metrics.jsonl").read_text()
        assert "val/accuracy" in rows and "test/" not in rows
    assert "(trials.png)" in (workdir / "report.md").read_text()
    assert run("sweep", *flags, "--dry_run") == ""


TRANSFER = """
from cnn_jax.training import recipes


def get_config(arg=None):
    config = recipes.digits()
    config.data.train_examples = 64
    config.data.classes = (0, 1) if arg == "source" else (2, 3)
    config.model = {"name": "mlp", "hidden": (8,)}
    config.optimizer.learning_rate = RATE if arg == "source" else 0.1
    config.train = {"steps": 4}
    return config


def source():
    return "source"


def sweep():
    yield "all", {}
    yield "head only", {"optimizer.train_only": "head"}
"""


@pytest.mark.full
def test_arms_that_start_from_another_run(run, tmp_path):
    path, workdir = tmp_path / "transfer.py", tmp_path / "runs"
    flags = [f"--config={path}", f"--workdir={workdir}", "--seeds=1"]
    # One that fails leaves nothing to start from.
    path.write_text(TRANSFER.replace("RATE", "1e30"))
    err = run("sweep", *flags, code=1)
    last = err.splitlines()[-1]
    assert last.startswith("error: the run that all arms start from, ")
    assert f"{workdir}/source, failed: the loss is" in last
    assert {p.name for p in workdir.iterdir()} == {"source", "sweep.json"}
    path.write_text(TRANSFER.replace("RATE", "0.1"))
    assert "arm 'source' has changed" in run("sweep", *flags, code=1)
    shutil.rmtree(workdir)
    assert "head only" in run("sweep", *flags)
    assert [row["status"] for row in table(workdir)] == ["done"] * 2
    for arm in ("all", "head only"):
        log = (workdir / arm / "seed0" / "log.txt").read_text()
        assert f"{workdir}/source" in log and "from the file" in log
    assert run("sweep", *flags, "--dry_run") == ""


def test_an_arm_that_has_changed_is_refused(swept, call, tmp_path):
    path, workdir = swept
    changed = tmp_path / "width.py"
    changed.write_text(path.read_text().replace("(12,)", "(16,)"))
    code, out, err = call("sweep", f"--config={changed}", f"--workdir={workdir}")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert "arm 'wide' has changed" in err and "model.hidden: [12] (now [16])" in err


@pytest.mark.full
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_sweep_that_was_ended_goes_on(swept, file, tmp_path, launch, run, number):
    """The table is that of a sweep that was left alone, to the last digit."""
    workdir = tmp_path / "runs"
    flags = [f"--config={file}", f"--workdir={workdir}", "--seeds=2"]
    process = launch("sweep", *flags)
    while not list(workdir.glob("*/*/results.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    process.communicate(timeout=120)
    assert process.returncode == (-9 if number == signal.SIGKILL else 143)
    assert len(list(workdir.glob("*/*/results.json"))) < 4
    run("sweep", *flags)
    assert table(workdir) == table(swept[1])[:4]


@pytest.mark.full
def test_runs_are_compared_as_in_their_sweep(swept, call, tmp_path):
    _, workdir = swept
    runs, place = sorted(workdir.glob("*/seed*")), tmp_path / "comparison"
    flags = [f"--workdir={place}", "--margin=50"]
    code, out, _ = call("sweep", "--compare", *runs, *flags)
    assert code == 0 and "hidden=(12,) hidden=(8,)" in " ".join(out.split())
    names = {"hidden=(8,)": "base", "hidden=(12,)": "wide"}
    rows = [row | {"arm": names[row["arm"]]} for row in table(place)]
    assert rows == table(workdir)


def test_a_grid_on_the_command_line(call):
    """Commas within brackets do not divide values."""
    from cnn_jax import sweep

    assert sweep.factor("a.b=(1, 2), [3,4],c") == ("a.b", ("(1, 2)", "[3,4]", "c"))
    grid = ["--grid=optimizer.learning_rate=1,2", "--grid", "model.hidden=(1,2),(3,)"]
    flags = ["--config=configs/mlp.py", "--dry_run", "--seeds=3"]
    code, out, _ = call("sweep", *flags, *grid)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 12
    name = "learning_rate=1, hidden=(1,2)"
    assert f"runs/mlp-learning_rate-hidden/{name}/seed0'" in lines[0]
    assert "'--config.model.hidden=(3,)'" in lines[3]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (0, 1, 2)), ("1", (0,)), ("7,", (7,)), ("5,3", (5, 3)), ("5,3,", (5, 3))],
)
def test_seeds(text, seeds):
    assert numbers(text) == seeds


def test_a_dry_run_of_the_next_look_fixes_the_protocol(call, file, tmp_path):
    workdir = tmp_path / "runs"
    flags = [f"--config={file}", f"--workdir={workdir}", "--until=decided"]
    code, out, _ = call("sweep", *flags, "--max_seeds=8", "--margin=1", "--dry_run")
    assert code == 0 and len(out.splitlines()) == 6  # two arms, three seeds
    assert json.loads((workdir / "sweep.json").read_text())["looks"] == [3, 4, 5, 7, 8]
    # The folder has no result yet, so another plan replaces this one.
    code, out, _ = call("sweep", *flags, "--max_seeds=20", "--dry_run")
    assert code == 0 and len(out.splitlines()) == 8
    folder = workdir / "base" / "seed0"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text("{}")
    code, out, err = call("sweep", *flags, "--max_seeds=8", "--report_only")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert "give exactly these flags (--until=decided --max_seeds=20)" in err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--config=configs/mlp.py"], 1, "no function sweep()"),
        (["--config=none.py"], 1, "no config file"),
        (["--config=FILE", "--seeds=0,0"], 2, "each seed once"),
        (["--config=FILE", "--seeds=-1,2"], 2, "each seed once"),
        (["--config=FILE", "--seeds=0"], 2, "must be at least 1"),
        (["--config=FILE", "--seeds=a"], 2, "no number of seeds and no list"),
        (["--config=FILE", "--seeds=,"], 2, "no number of seeds and no list"),
        (["--config=FILE", "--config.seed=3"], 2, "--seeds"),
        (["--config=FILE", "--num_gpus=1"], 2, "--launcher=ray"),
        (["--config=FILE", "--launcher=ray", "--cores_per_run=1"], 2, "--num_cpus"),
        (["--config=FILE", "--cores_per_run=4096"], 1, "processors"),
        (
            ["--config=FILE", "--launcher=ray", "--runs_per_device=3"],
            2,
            "--num_gpus=0.333",
        ),
        (["--config=FILE", "--runs_per_device=2", "--cores_per_run=1"], 2, "leave out"),
        (["--config=FILE", "--runs_per_device=2"], 1, "Set --cores_per_run"),
        (["--config=FILE", "--report_only"], 1, "there is no run of width"),
        (["--config=FILE", "--publish=none.md"], 1, "none.md does not exist"),
        (["--config=FILE", "--grid=eval.test=true,false"], 1, "leave out --grid"),
        (["--config=FILE", "--grid=eval.test"], 2, "GROUP.KEY=VALUE,VALUE"),
        (["--config=FILE", "--grid=a/b=1,2"], 2, "GROUP.KEY=VALUE,VALUE"),
        (["--config=FILE", "--grid=a=1,2", "--grid=a=3,4"], 2, "a key twice"),
        (["--config=configs/mlp.py", "--grid=model.hiden=3,4"], 1, "Did you mean"),
        (["--config=configs/mlp.py", "--grid=model.hidden=3,x"], 1, "'hidden=x'"),
        ([], 2, "--config=FILE.py, or runs with --compare"),
        (["--compare", "FILE", "--seeds=1"], 2, "leave out --seeds"),
        (["--compare", "FILE", "--config=FILE"], 2, "leave out --config,"),
        (["--compare", "FILE", "--config.seed=1"], 2, "leave out --config.seed"),
        (["--compare", "FILE"], 1, "width.py is not a run's folder"),
        (["--config=FILE", "--dry_run", "--report_only"], 2, "--dry_run"),
        (["--config=FILE", "--dry_run", "--margin=1"], 2, "--dry_run"),
        (["--config=FILE", "--dry_run", "--detect=1"], 2, "--dry_run"),
        (["--config=FILE", "--detect=-1"], 2, "the difference to detect is '-1'"),
        (["--config=FILE", "--until=decided", "--seeds=3"], 2, "--max_seeds"),
        (["--config=FILE", "--until=decided", "--detect=1"], 2, "--detect"),
        (["--config=FILE", "--until=decided", "--max_seeds=1"], 2, "at least 2 seeds"),
        (["--config=FILE", "--max_seeds=9"], 2, "needs --until=decided"),
        (["--config=FILE", "--trials=0"], 2, "must be at least 1"),
        (["--config=SEARCH", "--dry_run"], 1, "0 of 30 trials in"),
        (["--config=SEARCH", "--report_only"], 1, "without --report_only and"),
        (["--config=SEARCH", "--config.data.val=0"], 1, "set config.data.val"),
        (["--config=FILE", "--margin=0"], 2, "the margin is '0', and must be"),
        (["--config=FILE", "--margin=a"], 2, "the margin is 'a', and must be"),
        (["--config=FILE", "--config.model.hiden=3"], 1, "Did you mean"),
    ],
)
def test_mistakes(call, file, searched, tmp_path, flags, code, message):
    flags = [flag.replace("FILE", str(file)) for flag in flags]
    flags = [flag.replace("SEARCH", str(searched)) for flag in flags]
    found, out, err = call("sweep", *flags, f"--workdir={tmp_path / 'runs'}")
    assert (found, out) == (code, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
