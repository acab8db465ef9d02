"""A run's folder: whose it is, what may be removed, and what is written how."""

import contextlib
import dataclasses
import os
import socket
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.core.records import Damaged
from cnn_jax.data.folder import Files
from cnn_jax.data.splits import Records
from cnn_jax.runs import config_json, run_folder
from cnn_jax.runs.resolve import resolve
from cnn_jax.training.config import as_dict
from tests.made import flipped


def test_classes_that_differ_in_their_normal_form_are_the_same_data(
    tmp_path, config, dataset
):
    for name, same in (("cafe\u0301", True), ("cafe", False)):
        old = dataclasses.replace(dataset, classes=("caf\u00e9",))
        new = dataclasses.replace(dataset, classes=(name,))
        config_json.describe(tmp_path, config, old, {})
        with contextlib.nullcontext() if same else pytest.raises(UserError):
            run_folder.check_data(config_json.read(tmp_path), new)


def test_the_normalization_of_stored_images_is_not_measured_again(
    tmp_path, config, dataset
):
    begun = dataclasses.replace(dataset, mean=(0.25,), std=(0.5,))
    config_json.describe(tmp_path, config, begun, {})
    saved = config_json.read(tmp_path)
    assert run_folder.as_known(saved, dataset) is dataset
    stored = dataclasses.replace(
        dataset, splits={"train": Records(Files([], np.zeros(0, np.int32)), (8, 8, 1))}
    )
    assert run_folder.as_known(saved, stored).mean == (0.25,)


def test_whose_folder_it_is(folder, config, tmp_path):
    assert run_folder.begun(folder, config)
    assert not run_folder.begun(tmp_path / "new", config)
    assert not (tmp_path / "new").exists()
    other = resolve(as_dict(config), {"optimizer.learning_rate": "0.3", "seed": "5"})
    with pytest.raises(UserError) as error:
        run_folder.begun(folder, other)
    assert str(error.value) == (
        f"{folder} holds a run of another config: optimizer.learning_rate: 0.1 (now "
        "0.3); seed: 0 (now 5). Take another --workdir, or replace the run "
        "with --overwrite."
    )


def test_a_file_is_no_folder(config, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"--workdir=.*file is a file"):
        run_folder.begun(path, config)
    with pytest.raises(UserError, match=r"--workdir=.*file is a file"):
        run_folder.overwrite(path)
    assert path.read_text() == "mine"


def test_overwriting_removes_what_a_run_writes_and_nothing_else(
    folder, config, dataset
):
    for name in ("results.json", "metrics.jsonl", "events.out.tfevents.1.host"):
        (folder / name).write_text("{}")
    (folder / "checkpoints" / "3").mkdir(parents=True)
    (folder / "checkpoints" / "3" / "state").write_text("")
    (folder / "predictions").mkdir()
    for name in ("test.npz", "test.tmp"):
        (folder / "predictions" / name).write_text("")
    (folder / "notes.txt").write_text("mine")
    (folder / "figures").mkdir()
    (folder / "events.csv").write_text("mine")
    (folder / "checkpoints" / "epoch_90.bin").write_text("mine")
    run_folder.overwrite(folder)
    config_json.describe(folder, config, dataset, {})
    left = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    mine = {"notes.txt", "figures", "events.csv", "checkpoints/epoch_90.bin"}
    assert left == mine | {"checkpoints", "config.json"}


def test_room_for_the_best_the_last_and_the_next(tmp_path, monkeypatch):
    asked = []

    def disk(path):
        asked.append(path)
        return namedtuple("usage", "free")(4_000_000)

    monkeypatch.setattr(run_folder.shutil, "disk_usage", disk)
    deep = tmp_path / "not" / "yet" / "there"
    run_folder.check_space(deep, 1_000_000, 2)
    assert asked == [tmp_path] and not deep.parent.exists()
    with pytest.raises(UserError) as error:
        run_folder.check_space(deep, 1_000_001, 2)
    assert "has 4.0 MB free" in str(error.value) and "need 4.0 MB" in str(error.value)
    with pytest.raises(UserError, match="need 5,000\\.0 MB"):
        run_folder.check_space(deep, 1_000_000_000, 3)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    assert run_folder.read_results(tmp_path) is None
    records.write_json(path, {"step": 3, "test/accuracy": 0.5})
    assert run_folder.read_results(tmp_path) == {"step": 3, "test/accuracy": 0.5}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(
            UserError, match=r"cannot write .*results.json: No space left"
        ):
            records.write_json(path, {"step": 4})
    assert run_folder.read_results(tmp_path)["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


# ---------------------------------------------------------------------- damage


def test_no_flipped_bit_of_results_json_is_believed(folder):
    results = {"step": 10, "test/accuracy": 0.5, "peak": None, "config_hash": None}
    own = results["config_hash"] = config_json.description(folder)["config_hash"]
    run_folder.write_results(folder, results)
    refused = 0
    for _ in flipped(folder / "results.json", 0, 200):
        try:
            assert run_folder.read_results(folder, own) == results
        except Damaged as error:
            refused += 1
            assert str(folder / "results.json") in str(error)
    assert refused > 150
    # Of versions without checksums, and of others.
    records.write_json(folder / "results.json", results)
    assert run_folder.read_results(folder, own) == results
    for other in ({"top1": 76.1}, [1], 3, None, {"step": 3, "a": "b"}, {"step": True}):
        records.write_json(folder / "results.json", other)
        with pytest.raises(Damaged):
            run_folder.read_results(folder)
    records.write_json(folder / "results.json", results | {"config_hash": "0" * 12})
    with pytest.raises(Damaged, match="another run"):
        run_folder.read_results(folder, own)


@pytest.mark.parametrize("name", ["config.json", "results.json", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["FIFO", "socket", "folder", "device"])
def test_a_record_that_is_no_file(name, kind, folder, config):
    """Reading such a record would block."""
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        # The path of a socket is short.
        with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is not a regular file"):
        run_folder.begun(folder, config)
    with pytest.raises(UserError, match="is not a regular file"):
        run_folder.overwrite(folder)
    if name == "config.json":
        with pytest.raises(UserError, match="is not a regular file"):
            config_json.read(folder)


def test_another_number_of_devices_is_said(folder, monkeypatch):
    assert run_folder.other_devices(config_json.read(folder)) is None
    monkeypatch.setattr(run_folder.machine, "description", lambda: {"count": 4})
    line = run_folder.other_devices(config_json.read(folder))
    assert "began with a device count of 1 and resumes with a device count of 4" in line
