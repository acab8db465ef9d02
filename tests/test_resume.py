"""A run that is killed anywhere ends as one that was left alone, to the bit."""

import functools
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
def undisturbed(shared, run, onednn):
    def train(folder):
        run("main", *ARGUMENTS, f"--workdir={folder / 'run'}", env=onednn)

    return shared(f"undisturbed-{onednn['CNN_JAX_ONEDNN']}", train) / "run"


def interrupted(launch, workdir, number, env):
    """The run, sent a signal once the log has reached step 32."""
    process = launch("main", *ARGUMENTS, f"--workdir={workdir}", env=env)
    log, deadline = workdir / "metrics.jsonl", time.monotonic() + 200
    while not (log.exists() and '"step": 32' in log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert not (workdir / "results.json").exists()
    return process.returncode, err


def resumed(launch, workdir, env):
    """The same command again, to its end: what it wrote to stderr."""
    again = launch("main", *ARGUMENTS, f"--workdir={workdir}", env=env)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0 and "resuming from step" in err, err
    return err


@pytest.mark.full  # of the quick ones test_transfer.py goes on with a run
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_resume_is_exact(number, undisturbed, onednn, launch, rows, saved, tmp_path):
    workdir = tmp_path / "run"
    code, err = interrupted(launch, workdir, number, onednn)
    if number == signal.SIGKILL:
        assert code == -number
        # A kill in the middle of a write leaves a part of a line.
        with (workdir / "metrics.jsonl").open("a") as log:
            log.write('{"step": 33, "train/lo')
    else:
        assert code == 128 + number
        assert f"{number.name}: saved step" in err
    resumed(launch, workdir, onednn)
    assert rows(workdir) == rows(undisturbed)
    assert saved(workdir, STEPS) == saved(undisturbed, STEPS)


@pytest.mark.full
def test_a_damaged_checkpoint_is_passed_over(
    undisturbed, onednn, launch, rows, saved, tmp_path
):
    workdir = tmp_path / "run"
    interrupted(launch, workdir, signal.SIGTERM, onednn)
    checkpoints = workdir / "checkpoints"
    steps = sorted(int(p.name) for p in checkpoints.iterdir() if p.name.isdigit())
    assert len(steps) == 2  # the best and the last
    largest = max(
        (p for p in (checkpoints / str(steps[-1]) / "state").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    err = resumed(launch, workdir, onednn)
    assert f"warning: the checkpoint of step {steps[-1]}" in err
    assert f"resuming from step {steps[0]}" in err
    assert rows(workdir) == rows(undisturbed)
    assert saved(workdir, STEPS) == saved(undisturbed, STEPS)


# A run whose steps depend on much more than the parameters.
RECIPE = [
    "--config=experiments/pooling.py",
    "--config.model.widths=(4,)",
    "--config.data.batch_size=16",
    "--config.data.augmentations=crop(padding=2), mixup(alpha=0.5)",
    "--config.data.sampler=balanced",
    "--config.data.repeats=2",
    "--config.optimizer.ema_decay=0.9",
    "--config.optimizer.clip_adaptive=0.02",
    "--config.optimizer.learning_rate=1e-6",  # so that scores do not improve
    "--config.schedule.name=plateau",
    "--config.schedule.warmup_steps=0",
    "--config.schedule.patience=1",
    "--config.schedule.factor=0.5",
    "--config.train.accumulate=4",
    "--config.train.log_every_steps=2",
    "--config.eval.every_steps=2",
    "--config.eval.statistics_examples=32",
]
PICTURE = [
    "--config=configs/style_transfer.py",
    "--config.data.image_size=32",
    "--config.model.stem=small",
    "--config.model.width_multiplier=0.125",
    "--config.model.style_layers=('conv1', 'fire3')",
    "--config.schedule.warmup_steps=2",
    "--config.train.log_every_steps=2",
    "--config.eval.every_steps=4",
]


@pytest.mark.full
@pytest.mark.parametrize("arguments", [RECIPE, PICTURE], ids=["recipe", "picture"])
def test_a_run_of_one_process_resumes_exactly(
    arguments, call, rows, saved, monkeypatch, tmp_path
):
    """A recipe with many states; and a picture that is itself the parameters."""
    arguments = [*arguments, "--config.train.steps=8"]
    assert call("main", *arguments, f"--workdir={tmp_path / 'whole'}")[0] == 0
    make = loop.batches

    @functools.wraps(make)
    def ended(split, seed, start, stop, **options):
        for number, batch in enumerate(make(split, seed, start, stop, **options)):
            if number == 3 and stop == 8:
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
