"""Orbax's manager: deletions and full disks, which Orbax alone does not survive."""

import errno
import os
import shutil
import threading
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training.checkpoints import Checkpoints

METRIC = "test/accuracy"
open_in = partial(Checkpoints, best_metric=METRIC)


def small(value=0.0):
    return {"params": {"kernel": jnp.full((3,), float(value))}}


def test_a_deletion_begins_with_a_rename(tmp_path, monkeypatch):
    """Therefore a killed process leaves no half-deleted step under the step's name."""
    seen, rmtree = [], shutil.rmtree

    def spy(path, *args, **kwargs):
        seen.append(sorted(p.name for p in (tmp_path / "c").iterdir()))
        rmtree(path, *args, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", spy)
    with open_in(tmp_path / "c") as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, small(step), {}, {METRIC: step / 2})
    assert seen == [["1.orbax-checkpoint-tmp-deleted", "2"]]
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["2"]


@pytest.mark.parametrize("part", ["1", "state", "progress", "metrics"])
def test_a_disk_that_is_full_as_a_save_begins(part, tmp_path, monkeypatch):
    """No thread is left that waits for a folder: the program would not end."""
    mkdir, threads = os.mkdir, set(threading.enumerate())

    def full(path, *args, **kwargs):
        if Path(path).name.startswith(f"{part}.orbax") or Path(path).name == part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(path, *args, **kwargs)

    with (
        pytest.raises(UserError) as error,
        open_in(tmp_path / "c") as checkpoints,
    ):
        monkeypatch.setattr(os, "mkdir", full)
        checkpoints.save(1, small(), {}, {METRIC: 1.0})
        checkpoints.save(2, small(), {}, {METRIC: 1.0})
    assert str(error.value) == (
        f"cannot write checkpoints to {tmp_path / 'c'}: No space left on device."
    )
    left = set(threading.enumerate()) - threads
    assert not [thread for thread in left if "Signal" in type(thread).__name__]
    monkeypatch.undo()
    with open_in(tmp_path / "c") as checkpoints:
        checkpoints.save(1, small(1), {}, {METRIC: 1.0})
    with open_in(tmp_path / "c") as checkpoints:
        found, _, _ = checkpoints.restore_newest(jax.eval_shape(small))
    np.testing.assert_array_equal(found["params"]["kernel"], np.ones(3))
