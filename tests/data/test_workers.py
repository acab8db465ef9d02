"""Worker processes: they fail in one line, and leave when they should, quietly."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import folder, workers
from cnn_jax.data.loading import eval_batches, train_batches

PROGRAM = """
import multiprocessing, os, signal, sys, time
from cnn_jax.data import folder, loading

def main(how, dir):
    split = folder.SOURCE.load(dir=dir, image_size=8, in_memory=False).splits["train"]
    batches = loading.train_batches(
        split, batch_size=4, seed=0, start_step=0, stop_step=10**9, workers=2
    )
    next(batches)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    if how == "sigterm":  # of the whole group: one more batch can be had
        signal.signal(signal.SIGTERM, lambda *_: None)
        os.killpg(0, signal.SIGTERM)
        time.sleep(0.2)
        for _ in range(20):
            next(batches)
    elif how == "wait":
        time.sleep(60)
    elif how == "raise":
        raise SystemExit(3)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids):
    deadline = time.monotonic() + 10
    while any(running(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers are still running"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path, pets):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def start_program(how):
        program = subprocess.Popen(
            [sys.executable, path, how, pets],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2, program.stderr.read()
        return program, pids

    return start_program


@pytest.mark.full
@pytest.mark.parametrize(("how", "code"), [("end", 0), ("raise", 3), ("sigterm", 0)])
def test_a_program_that_leaves_in_the_middle_leaves_quietly(start, how, code):
    program, pids = start(how)
    _, errors = program.communicate(timeout=30)
    assert (program.returncode, errors) == (code, "")
    wait_until_gone(pids)


@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks into /proc")
def test_workers_of_a_killed_program_leave(start):
    program, pids = start("wait")
    assert all(running(pid) for pid in pids)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate(timeout=30)
    wait_until_gone(pids)


def test_closing_ends_the_workers(pets):
    split = folder.SOURCE.load(dir=str(pets), image_size=8, in_memory=False).splits[
        "train"
    ]
    options = {"batch_size": 2, "seed": 0, "start_step": 0, "stop_step": 1000}
    batches = train_batches(split, workers=2, **options)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_is_named_by_the_main_process(pets, workers):
    split = folder.SOURCE.load(dir=str(pets), image_size=8, in_memory=False).splits[
        "train"
    ]
    bad = split.reader.paths[3]
    with open(bad, "wb") as file:
        file.write(b"damaged")
    with pytest.raises(UserError) as error:
        list(eval_batches(split, batch_size=2, workers=workers))
    assert str(error.value).startswith(
        f"image {bad}: the file is not an image, or damaged"
    )
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_reported(pets):
    split = folder.SOURCE.load(dir=str(pets), image_size=8, in_memory=False).splits[
        "train"
    ]
    options = {"batch_size": 2, "seed": 0, "start_step": 0, "stop_step": 10**6}
    batches = train_batches(split, workers=1, **options)
    next(batches)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"worker process .* died"):
        for _ in batches:
            pass


def test_a_worker_hands_over_its_warnings_about_data():
    def make(step):
        warnings.warn(DataWarning(f"{step}.png is doubtful."), stacklevel=2)
        warnings.warn("nothing for users", stacklevel=2)
        if step == 2:
            raise UserError("2.png is damaged.")
        return {}

    outcome = workers._Outcome(make)
    assert outcome(1) == ({}, ["1.png is doubtful."])
    error, texts = outcome(2)
    assert (str(error), texts) == ("2.png is damaged.", ["2.png is doubtful."])


class Grain:
    """Stands for grain's iterator: `close` ends when the workers have."""

    def __init__(self, *workers):
        self.workers = workers

    def close(self):
        for worker in self.workers:
            worker.join()


@pytest.fixture
def worker(monkeypatch):
    """A process that does nothing, as a child of the watch under test."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.join = child.wait
    monkeypatch.setattr(workers._Watch, "_run", lambda watch: None)
    yield child
    child.kill()
    child.communicate()


@pytest.fixture
def watch(worker, monkeypatch):
    """A watch of that process, whose seconds the test counts."""
    watch = workers._Watch()
    monkeypatch.setattr(multiprocessing, "active_children", lambda: [worker])
    return watch


def stop(child):
    os.kill(child.pid, signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)


needs_proc = pytest.mark.skipif(not os.path.exists("/proc"), reason="looks into /proc")


@needs_proc
def test_a_stopped_worker_is_ended_after_two_minutes(watch, worker, capsys):
    stop(worker)
    with watch.waiting():
        for _ in range(workers.NOTICE + workers.STOPPED - 1):
            watch.second()
        assert watch.ended is None and worker.poll() is None
        watch.second()
    assert worker.wait(10) == -signal.SIGKILL
    assert f"process {worker.pid}, which loads data, was stopped" in watch.ended
    assert "same command again" in watch.ended
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and f"`kill -CONT {worker.pid}`" in line


@needs_proc
def test_a_worker_that_goes_on_is_not_ended(watch, worker):
    for _ in range(3):
        stop(worker)
        with watch.waiting():
            for _ in range(workers.STOPPED):
                watch.second()
        worker.send_signal(signal.SIGCONT)
        while workers._is_stopped(worker.pid):
            time.sleep(0.01)
    with watch.waiting():
        watch.second()
    assert watch.ended is None and worker.poll() is None


def test_a_slow_worker_is_waited_for(watch, worker, capsys):
    for _ in range(2):
        with watch.waiting():
            for _ in range(2 * workers.STOPPED):
                watch.second()
    assert watch.ended is None and worker.poll() is None
    (line,) = capsys.readouterr().err.splitlines()  # once
    assert "warning: no batch was loaded for 60 s" in line


def test_nothing_is_said_while_nobody_waits(watch, worker, capsys):
    for _ in range(1000):
        watch.second()
    assert capsys.readouterr().err == "" and worker.poll() is None


def test_closing_does_not_wait_for_a_batch(watch, worker, monkeypatch):
    monkeypatch.setattr(workers, "CLOSE", 0.1)
    watch.close(Grain(worker))
    assert worker.returncode == -signal.SIGKILL
