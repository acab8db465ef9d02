"""Shared memory of killed runs is removed; that of other programs is kept."""

import os
import signal
import subprocess
import sys
from multiprocessing import shared_memory as standard

import pytest

from cnn_jax.data import shared_memory

OWNER = """
import sys, time
from pathlib import Path
from cnn_jax.data import shared_memory
shared_memory.lock(Path(sys.argv[1]), sys.argv[2])
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that owns `cnn_jax_b_`, and is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path, "cnn_jax_b_"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.communicate()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_only_what_dead_processes_left_is_removed(owner, tmp_path):
    others = ["psm_25d51523", "sem.mp-01hwxrra", "cnn_jax", "cnn_jax_c_01"]
    ours = ["cnn_jax_b_01", "cnn_jax_b_owner", "sem.cnn_jax_b_-x1"]
    left = ["cnn_jax_a_01", "cnn_jax_a_02", "cnn_jax_a_owner", "sem.cnn_jax_a_-y"]
    for name in [*others, *ours, *left]:
        (tmp_path / name).touch()
    shared_memory.remove_left_over(tmp_path)
    assert names(tmp_path) == sorted(others + ours)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    shared_memory.remove_left_over(tmp_path)
    assert names(tmp_path) == sorted(others)


def test_memory_that_is_left_at_the_end_can_be_found_again(tmp_path):
    owner, left = tmp_path / "cnn_jax_a_owner", tmp_path / "cnn_jax_a_01"
    owner.touch()
    left.touch()
    shared_memory.release(owner)
    assert owner.exists() and left.exists()
    left.unlink()
    shared_memory.release(owner)
    assert not owner.exists()


def test_another_users_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "cnn_jax_a_owner").touch()
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    shared_memory.remove_left_over(tmp_path)
    assert names(tmp_path) == ["cnn_jax_a_owner"]


def test_a_lock_that_was_taken_for_left_over_is_made_anew(tmp_path, monkeypatch):
    """The file is removed between its making and its lock."""
    lock, removed = shared_memory.fcntl.flock, []

    def late(number, how):
        if not removed:
            removed.append((tmp_path / "cnn_jax_a_owner").unlink())
        lock(number, how)

    monkeypatch.setattr(shared_memory.fcntl, "flock", late)
    path = shared_memory.lock(tmp_path, "cnn_jax_a_")
    assert removed and path.exists()


def test_shared_memory_has_the_prefix(monkeypatch):
    monkeypatch.setattr(standard, "_make_filename", None)
    shared_memory.use("cnn_jax_test_")
    memory = standard.SharedMemory(create=True, size=8)
    try:
        assert memory.name.startswith("cnn_jax_test_")
    finally:
        memory.close()
        memory.unlink()
