"""Runs that are killed at random places end as runs that were left alone.

Each test kills one run at one place, runs the same command again and compares all that
is left with what the undisturbed run has left. `docs/measured/reliability.md` has the
counts.

    python -m pytest tests/test_kills.py --slow -n 2
    python -m pytest tests/test_kills.py --slow -n 2 -k "streamed-1"
"""

import csv
import errno
import json
import os
import random
import shutil
import sys
import textwrap
import zlib
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image
from tensorboard.backend.event_processing import plugin_event_accumulator

from tests import faults

ROOT = Path(__file__).parents[1]
# By the time that a run of each kind takes; 200 together.
PLACES = {"memory": 65, "streamed": 45, "sweep": 25, "overwritten": 65}
FULL_DISKS = 20
# Of the machine, and checksums over what is of the machine.
SPEEDS = ("train_seconds", "examples_per_second", "peak_memory_bytes", "checksum")
SPEED = "train/examples_per_second"
TRIES = 4

SMALL = [
    "--config=configs/mlp.py",
    "--config.model.hidden=(16,)",
    "--config.data.train_examples=256",
    "--config.schedule.warmup_steps=2",
]
EXPERIMENT = '''
    """Does the width matter?"""

    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits()
        config.model = {"name": "mlp", "hidden": (8,)}
        config.data.train_examples = 256
        config.schedule = {"name": "cosine", "warmup_steps": 2}
        config.train = {"steps": 4}
        config.eval = {"every_steps": 2}
        return config


    def sweep():
        yield "base", {}
        yield "wide", {"model.hidden": (12,)}
'''


def memory(folder):
    """Classification of pictures in memory."""
    del folder
    yield "main"
    yield from SMALL
    yield "--config.train.steps=8"
    yield "--config.train.log_every_steps=2"
    yield "--config.eval.every_steps=4"
    yield "--config.checkpoint.every_steps=3"


def streamed(folder):
    """Pictures that two worker processes read from the disk."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for name in (f"{label}/{i}.png" for label in "ab" for i in range(count)):
            path = folder / "pictures" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    yield "main"
    yield "--config=configs/mlp.py"
    yield "--config.model.hidden=(8,)"
    yield "--config.data.name=folder"
    yield f"--config.data.dir={folder / 'pictures'}"
    yield "--config.data.image_size=8"
    yield "--config.data.in_memory=false"
    yield "--config.data.workers=2"
    yield "--config.data.batch_size=4"
    yield "--config.schedule.warmup_steps=2"
    yield "--config.train.steps=6"
    yield "--config.train.log_every_steps=2"
    yield "--config.eval.every_steps=6"
    yield "--config.checkpoint.every_steps=2"


def sweep(folder):
    """Two arms with two seeds each."""
    path = folder / "width.py"
    path.write_text(textwrap.dedent(EXPERIMENT).lstrip())
    yield "sweep"
    yield f"--config={path}"
    yield "--seeds=0,1"


def overwritten(folder):
    """A run with a moving average and a layer that is frozen at first, in the place of
    a complete run."""
    del folder
    yield "main"
    yield from SMALL
    yield "--config.optimizer.ema_decay=0.9"
    yield "--config.optimizer.unfreeze=('hidden.*',)"
    yield "--config.optimizer.unfreeze_every_steps=3"
    yield "--config.train.steps=8"
    yield "--config.train.log_every_steps=2"
    yield "--config.eval.every_steps=4"


KINDS = {make.__name__: make for make in (memory, streamed, sweep, overwritten)}


class Kind:
    """A kind of run: its command, and the folder and calls of an undisturbed run."""

    def __init__(self, name, folder):
        module, *flags = KINDS[name](folder)
        self.name = name
        self.command = [sys.executable, "-m", f"cnn_jax.{module}", *flags]
        self.whole = folder / "whole"
        ended = self.run(self.whole)
        assert ended.code == 0, ended.err
        self.calls = ended.calls
        if name == "overwritten":
            copy = shutil.copytree(self.whole, folder / "copy")
            self.calls = self.run(copy, "--overwrite").calls
        self.expected = content(self.whole)

    def run(self, workdir, *flags, **fault):
        command = [*self.command, f"--workdir={workdir}", *flags]
        return faults.run(command, folder=workdir, cwd=ROOT, **fault)

    def disturbed(self, workdir, rng, **fault):
        """A run that met its fault: how it ended, and the number of the place."""
        flags = ["--overwrite"] if self.name == "overwritten" else []
        at = 1 + int(rng.random() * len(self.calls))
        # How often TensorStore writes depends on the time, so a run may end before.
        for _ in range(TRIES):
            if workdir.exists():
                shutil.rmtree(workdir)
            if self.name == "overwritten":
                shutil.copytree(self.whole, workdir)
            ended = self.run(workdir, *flags, at=at, **fault)
            if len(ended.calls) >= at:
                return ended, at
            at = len(ended.calls)
        raise AssertionError(f"none of {TRIES} runs came as far as the place")


@pytest.fixture(scope="session")
def kind(tmp_path_factory):
    """`kind(name)`: a `Kind`, made once."""
    if reason := faults.missing():
        pytest.skip(reason)
    made = {}

    def get(name):
        if name not in made:
            made[name] = Kind(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


def content(workdir):
    """All that a run or a sweep has left, without times and speeds."""
    runs = sorted(path.parent for path in workdir.rglob("config.json"))
    found = {str(run.relative_to(workdir)): run_content(run) for run in runs}
    table = workdir / "results.csv"
    if table.exists():
        with table.open() as lines:
            rows = list(csv.DictReader(lines))
        found["table"] = [without_speeds(row) for row in rows]
        found["files"] = sorted(path.name for path in workdir.iterdir())
    return found


def run_content(workdir):
    results = json.loads((workdir / "results.json").read_text())
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    kept = {results["step"], results["best/step"]}
    checkpoints = workdir / "checkpoints"
    found = {
        "results": without_speeds(results),
        "metrics": [{k: v for k, v in row.items() if k != SPEED} for row in rows],
        "checkpoints": sorted(path.name for path in checkpoints.iterdir()),
        "predictions": {
            path.name: zlib.crc32(path.read_bytes())
            for path in (workdir / "predictions").iterdir()
        },
        "events": events(workdir),
        "files": sorted(
            path.name
            for path in workdir.iterdir()
            if not path.name.startswith("events.")
        ),
    }
    for step in kept:
        found[f"state of step {step}"] = state(checkpoints / str(step) / "state")
    return found


def without_speeds(row):
    return {k: v for k, v in row.items() if not k.endswith(SPEEDS)}


def state(path):
    """The checksum of each leaf of a checkpoint, read as plain Orbax does."""
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.restore(path)
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.asarray(leaf).tobytes())
        for path, leaf in leaves
    }


def events(workdir):
    """Returns what TensorBoard shows: the steps and a checksum of each tag's values.

    The speed is left out, because it is unknown after a single step.
    """
    sizes = {plugin_event_accumulator.TENSORS: 0}  # all
    reader = plugin_event_accumulator.EventAccumulator(str(workdir), sizes)
    reader.Reload()
    return {
        tag: [
            (event.step, zlib.crc32(repr(event.tensor_proto).encode()))
            for event in reader.Tensors(tag)
        ]
        for tag in sorted(reader.Tags()["tensors"])
        if tag != SPEED
    }


def differences(found, expected, place=""):
    """Lines that say where two contents differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            one, other = found.get(key), expected.get(key)
            yield from differences(one, other, f"{place}/{key}")
    elif found != expected:
        yield f"{place}: {found!r:.300} and undisturbed {expected!r:.300}"


def listing(workdir):
    """The files that a fault has left, for the message of a test that fails."""
    return "\n".join(
        f"{path.stat().st_size:8} {path.relative_to(workdir)}"
        for path in sorted(workdir.rglob("*"))
        if path.is_file()
    )


def check_resumes(run, workdir, ended, at, flags=()):
    """Runs the same command again, and compares what it leaves."""
    place = " ".join(map(str, ended.calls[at - 1][2:]))
    told = f"call {at}, {place}; the fault left\n{listing(workdir)}\n"
    again = run.run(workdir, *flags)
    assert again.code == 0, f"{told}{again.out}\n{again.err}"
    assert "Traceback" not in again.err, told + again.err
    lines = list(differences(content(workdir), run.expected))
    assert not lines, told + "\n".join(lines)
    left = [*ended.left_behind, *again.left_behind]
    assert not left, f"{told}shared memory: {left}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name in KINDS for n in range(PLACES[name])]
)
def test_a_killed_run_goes_on(name, number, kind, tmp_path):
    rng = random.Random(f"{name} {number}")
    fault = {
        "mode": rng.choice(["before", "half"]),
        "group": rng.choice([False, True]),
    }
    # A run that takes the place of another goes on with and without the flag.
    flags = rng.choice([[], ["--overwrite"]]) if name == "overwritten" else []
    run, workdir = kind(name), tmp_path / "run"
    ended, at = run.disturbed(workdir, rng, **fault)
    # A sweep outlives its runs, and says that one has failed: one without its results.
    place = ended.calls[at - 1]
    complete = place.name == "rename" and place.path.endswith("/results.json")
    code = 0 if complete and fault["mode"] == "half" else 1
    assert ended.killed or (name == "sweep" and ended.code == code), (place, ended.err)
    check_resumes(run, workdir, ended, at, flags)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(FULL_DISKS))
def test_a_run_goes_on_when_its_full_disk_has_room_again(number, kind, tmp_path):
    rng = random.Random(f"full disk {number}")
    run, workdir = kind("memory"), tmp_path / "run"
    ended, at = run.disturbed(workdir, rng, mode=errno.ENOSPC, timeout=120)
    last = ended.err.strip().splitlines()[-1]
    assert ended.code == 1 and last.startswith("error: "), ended.err
    assert os.strerror(errno.ENOSPC) in last and str(workdir) in last, last
    assert "Traceback" not in ended.err, ended.err
    check_resumes(run, workdir, ended, at)


@pytest.mark.slow
def test_a_disk_that_is_full_as_the_first_checkpoint_begins(kind, tmp_path):
    """The saving threads wait for a folder that is never made; the run ends at once."""
    run, workdir = kind("memory"), tmp_path / "run"
    steps = (c.number for c in run.calls if c.path.startswith("/checkpoints/"))
    at = next(steps)
    ended = run.run(workdir, at=at, mode=errno.ENOSPC, timeout=120)
    assert ended.calls[at - 1].name == "mkdir"
    reason = os.strerror(errno.ENOSPC)
    place = workdir / "checkpoints"
    last = ended.err.strip().splitlines()[-1]
    assert last == f"error: cannot write checkpoints to {place}: {reason}."
    assert ended.code == 1
    check_resumes(run, workdir, ended, at)


@pytest.mark.slow
def test_a_run_killed_between_two_steps_goes_on(kind, tmp_path):
    """The kill is at a line of Python, while the previous step is being saved."""
    run, workdir = kind("memory"), tmp_path / "run"
    loop = ROOT / "cnn_jax" / "training" / "loop.py"
    line = faults.line_of(loop, "state, pairs = train_step(")
    ended = run.run(workdir, line=line, at=5)
    assert ended.killed, ended.err
    assert '"step": 4' in (workdir / "metrics.jsonl").read_text()
    check_resumes(run, workdir, ended, len(ended.calls))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["folder.rename(doomed)", "shutil.rmtree(doomed)"])
def test_a_run_killed_in_its_last_deletion_leaves_no_old_checkpoint(
    text, kind, tmp_path
):
    run, workdir = kind("memory"), tmp_path / "run"
    deleted = [c for c in run.calls if c.name == "rename" and "-deleted" in c.path]
    line = faults.line_of(ROOT / "cnn_jax" / "training" / "checkpoint_manager.py", text)
    ended = run.run(workdir, line=line, at=len(deleted))
    assert ended.killed, ended.err
    check_resumes(run, workdir, ended, len(ended.calls))
