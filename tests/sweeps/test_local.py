"""Runs on this machine, with shells in place of training.

`test_worker` has a real worker, which trains several runs.
"""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import local
from cnn_jax.sweeps.local import Slot
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config

LOG = "log.txt"
# A worker that becomes its first task, whatever the command is.
BECOMES = """
import json, os, sys
task = json.loads(sys.stdin.readline())
log = os.open(task["log"], os.O_WRONLY | os.O_APPEND)
os.dup2(log, 1), os.dup2(log, 2)
os.execvp(task["command"][0], task["command"])
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """`runs(*scripts)`: a run for each."""
    monkeypatch.setattr(local, "PATIENCE", 0.005)
    monkeypatch.setattr(local, "WORKER", (sys.executable, "-S", "-E", "-c", BECOMES))

    def make(*scripts):
        return [
            Run(f"arm{i}", 0, Config({}), tmp_path / f"arm{i}", ("sh", "-c", script))
            for i, script in enumerate(scripts)
        ]

    return make


# ------------------------------------------------------------------------------ slots


@pytest.fixture
def machine(monkeypatch):
    """`machine(platform, devices, cores)`: what there is."""

    def make(platform, devices=1, cores=4):
        monkeypatch.setattr(local, "_devices", lambda: (platform, devices))
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _: set(range(2, 2 + cores)), raising=False
        )
        for name in ("CUDA_VISIBLE_DEVICES", *local.MEMORY):
            monkeypatch.delenv(name, raising=False)

    return make


@pytest.mark.parametrize(
    ("each", "cores"),
    [
        (1, [(2,), (3,), (4,), (5,), (6,)]),
        (2, [(2, 3), (4, 5)]),
        (5, [(2, 3, 4, 5, 6)]),
    ],
)
def test_a_group_of_processors_makes_a_slot(each, cores, machine):
    machine("cpu", cores=5)
    assert [slot.cores for slot in local.slots(each)] == cores
    assert all(not slot.environment for slot in local.slots(each))


def test_more_processors_than_there_are(machine):
    machine("cpu", cores=5)
    with pytest.raises(
        UserError, match="--cores_per_run=6: there are only 5 processors"
    ):
        local.slots(6)


@pytest.mark.parametrize("platform", ["gpu", "cuda", "rocm"])
def test_each_gpu_makes_a_slot(platform, machine, monkeypatch):
    machine(platform, devices=2)

    def shown():
        return [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in local.slots()]

    assert shown() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8f")
    assert shown() == ["3", "GPU-8f"]


def test_runs_share_gpus(machine):
    """Each has its share of the memory and of the processors."""
    machine("gpu", devices=2, cores=9)
    found = local.slots(runs_per_device=2)
    assert [slot.environment for slot in found] == [
        {"CUDA_VISIBLE_DEVICES": name, "XLA_CLIENT_MEM_FRACTION": "0.45"}
        for name in ("0", "1", "0", "1")
    ]
    assert [slot.cores for slot in found] == [(2, 3), (4, 5), (6, 7), (8, 9)]
    machine("gpu", devices=2, cores=3)  # fewer processors than slots
    assert [slot.cores for slot in local.slots(runs_per_device=2)] == [()] * 4
    machine("gpu", devices=2)
    assert local.slots(runs_per_device=1) == local.slots()


@pytest.mark.parametrize("name", local.MEMORY)
def test_a_share_of_the_memory_that_the_user_has_set(name, machine, monkeypatch):
    machine("gpu")
    monkeypatch.setenv(name, ".2")
    found = local.slots(runs_per_device=4)
    assert all(slot.environment.keys() == {"CUDA_VISIBLE_DEVICES"} for slot in found)
    for text in (".5", "half"):
        monkeypatch.setenv(name, text)
        with pytest.raises(UserError, match=rf"{name}={text} .* is more than 0\.25"):
            local.slots(runs_per_device=4)
        assert len(local.slots()) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0])
def test_a_process_that_shares_no_gpu(share):
    assert local.memory_share(share) == {}


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("cpu", "--runs_per_device=4: there is no GPU. Set --cores_per_run"),
        ("tpu", "--runs_per_device=4: only one process at a time can use a TPU"),
    ],
)
def test_devices_that_runs_cannot_share(platform, message, machine):
    machine(platform)
    with pytest.raises(UserError, match=message):
        local.slots(runs_per_device=4)


def test_a_tpu_belongs_to_one_run(machine):
    machine("tpu", devices=8)
    assert local.slots() == [Slot()]


def test_a_machine_that_cannot_be_divided(machine, monkeypatch):
    machine("cpu")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert local.slots() == [Slot()]
    monkeypatch.setattr(local, "_devices", lambda: ("gpu", 1))
    assert [slot.cores for slot in local.slots(runs_per_device=2)] == [(), ()]


@pytest.mark.parametrize(
    ("code", "out", "err", "expected"),
    [
        (0, "gpu 4\n", "", ("gpu", 4)),
        (1, "", "noise\nno GPU\n", "JAX reports: no GPU"),
        (1, "", "", "JAX reports: nothing"),
    ],
)
def test_devices_are_asked_of_another_process(code, out, err, expected, monkeypatch):
    """This one would take their memory for itself."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    asked = []

    def ask(command, **_):
        asked.append(command)
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    monkeypatch.setattr(local.subprocess, "run", ask)
    if code:
        with pytest.raises(UserError, match=expected):
            local._devices()
    else:
        assert local._devices() == expected
    assert asked[0][:2] == [sys.executable, "-c"]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert local._devices() == ("cpu", 1) and len(asked) == 1


# ----------------------------------------------------------------------------- launch


def test_as_many_runs_at_once_as_there_are_slots(runs):
    made = runs(*["true"] * 5)
    under_way, most = set(), 0
    for run, outcome in local.launch(made, [], places=[Slot(), Slot()]):
        if outcome is None:
            under_way.add(run.arm)
            most = max(most, len(under_way))
        else:
            under_way.remove(run.arm)
    assert most == 2 and not under_way
    assert [run.workdir.joinpath(LOG).exists() for run in made] == [True] * 5


def test_what_a_run_says_is_in_its_log(runs):
    (run,) = runs("echo out; echo err >&2; exit 3")
    events = list(local.launch([run], [], places=[Slot()]))
    assert events[0] == (run, None) and events[1][1].status == "failed"
    first, *said, last = (run.workdir / LOG).read_text().splitlines()
    assert first.startswith("$ sh -c") and last == "[exit code 3]"
    assert sorted(said) == ["err", "out"]


def test_a_run_sees_its_own_part_of_the_machine(runs):
    core = min(os.sched_getaffinity(0))
    (run,) = runs("echo $CUDA_VISIBLE_DEVICES $CNN_JAX_X; taskset -cp $$ || true")
    slot = Slot((core,), {"CUDA_VISIBLE_DEVICES": "7"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNN_JAX_X", "inherited")
        list(local.launch([run], [], places=[slot]))
    text = (run.workdir / LOG).read_text()
    assert "7 inherited" in text
    if "affinity" in text:  # taskset is there
        assert text.split("affinity list: ")[1].split()[0] == str(core)


def test_a_signal_ends_the_runs_under_way_and_starts_no_other(runs):
    """The running runs get the signal once, to save their state."""
    made = runs("trap 'echo told; exit 143' TERM; while :; do sleep 0.01; done", "true")
    stopped, ended = [], []
    for run, outcome in local.launch(made, stopped, places=[Slot()]):
        if outcome is None:
            while "$ sh" not in (run.workdir / LOG).read_text():
                pass
            stopped.append(signal.SIGTERM)
        else:
            ended.append(run.arm)
    assert ended == ["arm0"]
    assert (made[0].workdir / LOG).read_text().splitlines()[-1] in (
        "[exit code 143]",
        "[exit code -15]",  # before the shell had set its trap
    )
    assert not made[1].workdir.exists()


def test_the_next_run_is_made_when_a_slot_is_free(runs):
    """The next run is made after the outcomes of the earlier runs are known."""
    made, ended = runs(*["true"] * 4), []
    known = []

    def lazily():
        for run in made:
            known.append(len(ended))
            yield run

    for run, outcome in local.launch(lazily(), [], places=[Slot()]):
        if outcome is not None:
            ended.append(run)
    assert known == [0, 1, 2, 3] and ended == made


def test_a_run_that_must_end_is_told_once(runs):
    """The run saves its state; the other runs continue."""
    trap = (
        "trap 'echo told' TERM; echo ready; for i in 1 2 3 4 5 6; do sleep 0.05; done"
    )
    made, asked = runs(f"{trap}; exit 143", "sleep 0.2"), []

    def ends(run):
        asked.append(run.arm)
        log = (run.workdir / LOG).read_text()
        return run.arm == "arm0" and "\nready\n" in log

    events = local.launch(iter(made), [], ends, places=[Slot(), Slot()])
    outcomes = {run.arm: outcome for run, outcome in events if outcome}
    assert outcomes["arm0"].status == "stopped" and {*asked} == {"arm0", "arm1"}
    assert (made[0].workdir / LOG).read_text().count("told\n") == 1
    assert (made[1].workdir / LOG).read_text().endswith("[exit code 0]\n")


def test_nothing_is_left_under_way_after_an_error(runs):
    (run,) = runs("sleep 60")
    events = local.launch([run], [], places=[Slot()])
    assert next(events) == (run, None)
    events.close()  # as an error in its reader does
    assert (run.workdir / LOG).read_text().endswith("[exit code -15]\n")


def test_a_run_ends_with_the_sweep(monkeypatch):
    """Linux tells it, if this process dies; if it has died before that, itself."""
    told, killed = [], []

    class Libc:
        def prctl(self, *arguments):
            told.append(arguments)

    monkeypatch.setattr(local.ctypes, "CDLL", lambda _: Libc())
    monkeypatch.setattr(sys, "platform", "linux")
    kept = []
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda _, cores: kept.append(cores), raising=False
    )
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    monkeypatch.setattr(os, "getppid", os.getpid)
    local.tied((1, 2))()
    assert told == [(local.PR_SET_PDEATHSIG, signal.SIGTERM)] and kept == [(1, 2)]
    assert not killed
    monkeypatch.setattr(os, "getppid", lambda: 1)
    local.tied()()
    assert killed == [(os.getpid(), signal.SIGTERM)] and len(kept) == 1


def test_a_folder_that_cannot_be_made_is_an_error(runs, tmp_path):
    (run,) = runs("true")
    Path(run.workdir).touch()
    with pytest.raises(OSError, match="arm0"):
        list(local.launch([run], [], places=[Slot()]))
