"""A run that is killed anywhere ends as one that was left alone, to the bit."""

import functools
import shutil
import signal
import time

import pytest

from cnn_jax.training import loop

# Those behind step 32 must take longer than it takes a busy machine to see it.
STEPS = 100
# Neither the log nor the checkpoints fall on ends of epochs (22.5 steps).
ARGUMENTS = [
    "--config=configs/resnet.py",
    "--config.model.stage_sizes=(1, 1, 1)",
    "--config.model.width=8",
    f"--config.train.steps={STEPS}",
    "--config.train.log_every_steps=8",
    "--config.eval.every_steps=30",
    "--config.checkpoint.every_steps=13",
    "--config.optimizer.ema_decay=0.9",
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, run):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    run("main", *ARGUMENTS, f"--workdir={workdir}")
    return workdir


def interrupted(launch, workdir, number):
    """The run, sent a signal once the log has reached step 32."""
    process = launch("main", *ARGUMENTS, f"--workdir={workdir}")
    log, deadline = workdir / "metrics.jsonl", time.monotonic() + 200
    while not (log.exists() and '"step": 32' in log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert not (workdir / "results.json").exists()
    return process.returncode, err


@pytest.fixture(scope="module")
def terminated(tmp_path_factory, launch):
    """A run that was told to end: its folder, exit code and stderr."""
    workdir = tmp_path_factory.mktemp("terminated") / "run"
    return workdir, *interrupted(launch, workdir, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_resume_is_exact(
    number, undisturbed, terminated, launch, rows, saved, tmp_path
):
    workdir = tmp_path / "run"
    if number == signal.SIGTERM:
        folder, code, err = terminated
        shutil.copytree(folder, workdir)
    else:
        code, err = interrupted(launch, workdir, number)
    if number == signal.SIGKILL:
        assert code == -number
        # As a kill in the middle of a write leaves it.
        with (workdir / "metrics.jsonl").open("a") as log:
            log.write('{"step": 33, "train/lo')
    else:
        assert code == 128 + number
        assert f"{number.name}: saved step" in err
    again = launch("main", *ARGUMENTS, f"--workdir={workdir}")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0 and "resuming from step" in err, err

    assert rows(workdir) == rows(undisturbed)
    assert saved(workdir, STEPS) == saved(undisturbed, STEPS)


def test_a_damaged_checkpoint_is_passed_over(
    undisturbed, terminated, launch, rows, saved, tmp_path
):
    workdir = shutil.copytree(terminated[0], tmp_path / "run")
    checkpoints = workdir / "checkpoints"
    steps = sorted(int(p.name) for p in checkpoints.iterdir() if p.name.isdigit())
    assert len(steps) == 2  # the best and the last
    largest = max(
        (p for p in (checkpoints / str(steps[-1]) / "state").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    again = launch("main", *ARGUMENTS, f"--workdir={workdir}")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert f"warning: the checkpoint of step {steps[-1]}" in err
    assert f"resuming from step {steps[0]}" in err
    assert rows(workdir) == rows(undisturbed)
    assert saved(workdir, STEPS) == saved(undisturbed, STEPS)


def test_a_run_of_one_picture_resumes_exactly(call, rows, saved, monkeypatch, tmp_path):
    """Its parameters are the picture, and what it rests on is saved with it."""
    arguments = [
        "--config=configs/style_transfer.py",
        "--config.data.image_size=32",
        "--config.model.stem=small",
        "--config.model.width_multiplier=0.125",
        "--config.model.style_layers=('conv1', 'fire3')",
        "--config.train.steps=8",
        "--config.train.log_every_steps=2",
        "--config.eval.every_steps=4",
    ]
    assert call("main", *arguments, f"--workdir={tmp_path / 'whole'}")[0] == 0
    make = loop.batches

    @functools.wraps(make)
    def ended(*args, **options):
        for number, batch in enumerate(make(*args, **options)):
            if number == 3:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(loop, "batches", ended)
        code, _, err = call("main", *arguments, f"--workdir={tmp_path / 'run'}")
    assert code == 128 + signal.SIGTERM and "of 8" in err
    code, _, err = call("main", *arguments, f"--workdir={tmp_path / 'run'}")
    assert code == 0 and "resuming from step" in err
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert saved(tmp_path / "run", 8) == saved(tmp_path / "whole", 8)
