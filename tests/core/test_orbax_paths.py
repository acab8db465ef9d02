"""Checkpoints in folders of every name: they come back, or are refused before."""

import os
import string
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.weights import weight_files

STATE = {"params": {"kernel": jnp.arange(3.0)}}
REFUSED = {"\\"}
ALLOWED = sorted({*string.printable} - {"/"} - REFUSED)
NAMES = [
    "".join(ALLOWED),
    "lr=[0.1]",
    "[!a]",
    "a[b",
    "*",
    " x ",
    "n\xe9 \u65e5\u672c",
    "%41",
    "http:",
    "5.orbax-checkpoint-tmp-1",
    "x" * 255,
]


def saved_and_restored(folder):
    with Checkpoints(folder / "checkpoints", best_metric="m") as checkpoints:
        checkpoints.save(1, STATE, {"n": 1}, {"m": 0.5})
    with Checkpoints(folder / "checkpoints", best_metric="m") as checkpoints:
        found, progress, _ = checkpoints.restore_newest(jax.eval_shape(lambda: STATE))
        assert checkpoints.best_step() == 1 and progress == {"n": 1}
    np.testing.assert_array_equal(found["params"]["kernel"], [0, 1, 2])


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name(name, tmp_path):
    (tmp_path / "another").mkdir()
    saved_and_restored(tmp_path / name / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"another", name}


@pytest.mark.slow
@pytest.mark.parametrize("character", [c for c in map(chr, range(1, 256)) if c != "/"])
def test_every_character(character, tmp_path):
    folder = tmp_path / f"a{character}b"
    if character in REFUSED:
        with pytest.raises(UserError, match="cannot be kept in"):
            Checkpoints(folder, best_metric="m")
        assert not any(tmp_path.iterdir())
    else:
        saved_and_restored(folder)


@pytest.mark.parametrize("name", ["a\\b", "gs:", "logs:", os.fsdecode(b"\xff\xfe")])
def test_a_folder_that_tensorstore_cannot_take(name, tmp_path):
    with pytest.raises(UserError, match="checkpoints cannot be kept in") as error:
        Checkpoints(tmp_path / name / "run", best_metric="m")
    assert "Choose another folder." in str(error.value)
    assert not any(tmp_path.iterdir())


def test_links_and_dots_lead_where_the_system_leads(tmp_path, monkeypatch):
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "below")
    monkeypatch.chdir(tmp_path)
    saved_and_restored(Path("link/../run"))
    assert (tmp_path / "real" / "run" / "checkpoints" / "1").is_dir()
    assert not (tmp_path / "run").exists()


def test_a_path_as_long_as_can_be(tmp_path):
    def deep(size):
        room = size - len(str(tmp_path)) - len("/checkpoints")
        return tmp_path / "/".join(["x" * 99] * (room // 100)) / ("y" * (room % 100))

    saved_and_restored(deep(3700))
    with pytest.raises(UserError, match="the path has 3,9"):
        Checkpoints(deep(3900) / "checkpoints", best_metric="m")
    with pytest.raises(UserError, match="the path has"):
        orbax_path(deep(5000))


def test_converted_weights_in_such_folders(tmp_path):
    variables = {"params": {"kernel": np.arange(3.0)}}
    for name in ("[0.1]", "x" * 255):
        folder = tmp_path / name
        weight_files.write_folder(folder, variables, {"model": "x"}, overwrite=False)
        found = weight_files.read(folder)
        np.testing.assert_array_equal(found.arrays["params/kernel"], [0, 1, 2])
    file = tmp_path / f"{'y' * 243}.safetensors"
    weight_files.write_file(file, {"a": np.ones(2)}, {}, overwrite=False)
    assert weight_files.read(file).arrays.keys() == {"a"}
