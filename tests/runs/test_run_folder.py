"""A run's folder: whose it is, what may be removed, and what is written how."""

import contextlib
import dataclasses
import json
import os
import socket
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core import imports
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.core.records import Damaged
from cnn_jax.data import digit_scenes, digits
from cnn_jax.runs import dataset_facts, run_folder
from cnn_jax.runs.resolve import resolve
from cnn_jax.training.config import as_dict, default, hash_of, identity


@pytest.fixture(scope="module")
def dataset():
    return digits.SOURCE.load(train_examples=40, test_examples=20)


@pytest.fixture
def config():
    return resolve(default().to_dict(), {"model.name": "mlp"})


@pytest.fixture
def folder(tmp_path, config, dataset):
    """The folder of a run that has just begun."""
    run_folder.describe(tmp_path / "run", config, dataset, {})
    return tmp_path / "run"


def test_what_is_described_is_read_back(folder, config, dataset):
    assert run_folder.saved_config(folder) == config
    found = run_folder.saved_dataset(folder)
    for field in ("classes", "image_shape", "mean", "std", "crop"):
        assert getattr(found, field) == getattr(dataset, field)
    content = json.loads((folder / "config.json").read_text())
    assert content["config"] == as_dict(config)
    assert content["config_hash"] == hash_of(config)
    assert content["dataset"]["examples"] == {"train": 40, "test": 20}
    assert {"python", "jax", "flax", "optax"} <= content["versions"].keys()
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_labels_of_pixels_are_described(tmp_path, config, folder):
    scenes = digit_scenes.load(image_size=24, train_examples=2, test_examples=1)
    run_folder.describe(tmp_path / "scenes", config, scenes, {})
    assert run_folder.saved_dataset(tmp_path / "scenes").label_shape == (24, 24)
    assert run_folder.saved_dataset(folder).label_shape == ()
    run_folder.check_data(tmp_path / "scenes", scenes)
    # Where a label is one class, the description is what it always was.
    content = json.loads((folder / "config.json").read_text())
    assert "label_shape" not in content["dataset"]


def test_classes_that_differ_in_their_normal_form_are_the_same_data(
    tmp_path, config, dataset
):
    for name, same in (("cafe\u0301", True), ("cafe", False)):
        old = dataclasses.replace(dataset, classes=("caf\u00e9",))
        new = dataclasses.replace(dataset, classes=(name,))
        run_folder.describe(tmp_path, config, old, {})
        with contextlib.nullcontext() if same else pytest.raises(UserError):
            run_folder.check_data(tmp_path, new)


def test_the_commit_is_that_of_the_code(monkeypatch):
    seen = []

    def git(command, **options):
        seen.append((command[0], options["cwd"]))
        return namedtuple("Result", "stdout")("0123abc-dirty\n")

    monkeypatch.setattr(run_folder.subprocess, "run", git)
    assert run_folder._git_commit() == "0123abc-dirty"
    assert seen == [("git", Path(run_folder.__file__).parent)]

    def absent(command, **options):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(run_folder.subprocess, "run", absent)
    assert run_folder._git_commit() is None


def test_whose_folder_it_is(folder, config, tmp_path):
    assert run_folder.claim(folder, config, overwrite=False)
    assert not run_folder.claim(tmp_path / "new", config, overwrite=False)
    assert not (tmp_path / "new").exists()
    other = resolve(as_dict(config), {"optimizer.learning_rate": "0.3", "seed": "5"})
    with pytest.raises(UserError) as error:
        run_folder.claim(folder, other, overwrite=False)
    assert str(error.value) == (
        f"{folder} holds a run of another config: optimizer.learning_rate: 0.1 (now "
        "0.3); seed: 0 (now 5). Take another --workdir, or --overwrite this one."
    )


def test_a_file_is_no_folder(config, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"--workdir=.*file is a file"):
            run_folder.claim(path, config, overwrite=overwrite)
    assert path.read_text() == "mine"


def test_overwriting_removes_what_a_run_writes_and_nothing_else(
    folder, config, dataset
):
    for name in ("results.json", "metrics.jsonl", "events.out.tfevents.1.host"):
        (folder / name).write_text("{}")
    (folder / "checkpoints" / "3").mkdir(parents=True)
    (folder / "checkpoints" / "3" / "state").write_text("")
    (folder / "notes.txt").write_text("mine")
    (folder / "figures").mkdir()
    (folder / "events.csv").write_text("mine")
    (folder / "checkpoints" / "epoch_90.bin").write_text("mine")
    assert not run_folder.claim(folder, config, overwrite=True)
    run_folder.describe(folder, config, dataset, {})
    left = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    mine = {"notes.txt", "figures", "events.csv", "checkpoints/epoch_90.bin"}
    assert left == mine | {"checkpoints", "config.json"}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "{}", '{"config": 3}', "null"])
def test_a_config_json_that_is_no_runs(text, folder, config):
    """Damaged, or of another program: the name is a common one."""
    (folder / "config.json").write_text(text)
    for use in (
        run_folder.saved_config,
        run_folder.saved_dataset,
        lambda path: run_folder.claim(path, config, overwrite=False),
    ):
        with pytest.raises(UserError, match="config"):
            use(folder)
    assert (folder / "config.json").read_text() == text


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        run_folder.saved_config(tmp_path)


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
    run_folder.write_json(path, {"step": 3, "test/accuracy": 0.5})
    assert run_folder.read_results(tmp_path) == {"step": 3, "test/accuracy": 0.5}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(
            UserError, match=r"cannot write .*results.json: No space left"
        ):
            run_folder.write_json(path, {"step": 4})
    assert run_folder.read_results(tmp_path)["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


# ---------------------------------------------------------------------- damage


def flipped(path, seed, count):
    """The file with one bit flipped, `count` times, at places all over it."""
    whole = path.read_bytes()
    places = np.random.default_rng(seed).integers(0, 8 * len(whole), count)
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        yield
    path.write_bytes(whole)


def test_no_flipped_bit_of_config_json_is_believed(folder, config, dataset):
    """Refused, or of no consequence; and the run's own command mends it."""
    refused = mended = 0
    for _ in flipped(folder / "config.json", 0, 150):
        try:
            found = run_folder.saved_dataset(folder)
            assert identity(run_folder.saved_config(folder)) == identity(config)
        except UserError as error:
            refused += 1
            assert str(folder / "config.json") in str(error)
        else:
            assert dataset_facts.of(found) | {"examples": 0} == dataset_facts.of(
                dataclasses.replace(dataset, splits={})
            ) | {"examples": 0}
        try:
            mended += run_folder.claim(folder, config, overwrite=False)
        except UserError as error:
            assert str(folder / "config.json") in str(error)
    # One bit of the line with the hash can make both the hash and the JSON unreadable.
    assert refused > 120 and mended > 145
    assert run_folder.is_whole(folder)


def test_the_places_of_data_may_be_changed_by_hand(folder, config):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"]["data"]["workers"] = 3
    path.write_text(json.dumps(content))
    assert run_folder.saved_config(folder).data.workers == 3
    content["config"]["data"]["batch_size"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(Damaged, match="checksum"):
        run_folder.saved_config(folder)


def test_no_flipped_bit_of_results_json_is_believed(folder):
    results = {"step": 10, "test/accuracy": 0.5, "peak": None, "config_hash": None}
    results["config_hash"] = run_folder.description(folder)["config_hash"]
    run_folder.write_results(folder, results)
    refused = 0
    for _ in flipped(folder / "results.json", 0, 200):
        try:
            assert run_folder.read_results(folder) == results
        except Damaged as error:
            refused += 1
            assert str(folder / "results.json") in str(error)
    assert refused > 150
    # Of versions without checksums, and of others.
    run_folder.write_json(folder / "results.json", results)
    assert run_folder.read_results(folder) == results
    for other in ({"top1": 76.1}, [1], 3, None, {"step": 3, "a": "b"}, {"step": True}):
        run_folder.write_json(folder / "results.json", other)
        with pytest.raises(Damaged):
            run_folder.read_results(folder)
    run_folder.write_json(folder / "results.json", results | {"config_hash": "0" * 12})
    with pytest.raises(Damaged, match="another run"):
        run_folder.read_results(folder)


WRONG = {
    "nested": "[" * 100_000,
    "nested objects": '{"config":' * 100_000,
    "a long number": "9" * 10_000,
    "not UTF-8": b'{"config": "\xff"}',
    "two values": "{} {}",
    "a string": '"config"',
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_config_json_of_any_text(kind, folder, config):
    text = WRONG[kind]
    path = folder / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for use in (
        run_folder.description,
        run_folder.saved_config,
        run_folder.check_overwrite,
    ):
        with pytest.raises(UserError, match="config") as error:
            use(folder)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"config\.json"):
        run_folder.claim(folder, config, overwrite=False)


VALUES = [None, True, -1, 0, 1e999, "text", [], [[]], {}, [-3], ["a"], [1e999], 10**30]


@pytest.mark.parametrize("part", ["config", "dataset"])
def test_a_config_json_with_values_of_any_type(part, folder):
    """As another program, or somebody who means harm, could write it."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content.pop("checksum")
    places = [(key,) for key in content[part]]
    if part == "config":
        groups = [key for key in content[part] if isinstance(content[part][key], dict)]
        places += [(group, key) for group in groups for key in content[part][group]]
    for number, place in enumerate(places):
        for value in VALUES if part == "dataset" else VALUES[number % 4 :: 4]:
            spoiled = json.loads(json.dumps(content))
            *outer, last = place
            inner = spoiled[part][outer[0]] if outer else spoiled[part]
            inner[last] = value
            path.write_text(json.dumps(spoiled))
            use = {
                "config": run_folder.saved_config,
                "dataset": run_folder.saved_dataset,
            }
            try:
                use[part](folder)
            except UserError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["config.json", "results.json", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["FIFO", "socket", "folder", "device"])
def test_a_record_that_is_no_file(name, kind, folder, config):
    """It would be waited for."""
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
    for overwrite in (False, True):
        with pytest.raises(UserError, match="is not a regular file"):
            run_folder.claim(folder, config, overwrite=overwrite)
    if name == "config.json":
        with pytest.raises(UserError, match="is not a regular file"):
            run_folder.saved_config(folder)


def test_a_record_of_gigabytes(folder):
    with (folder / "config.json").open("ab") as file:
        file.truncate(2**33)
    with pytest.raises(UserError, match=r"has more than 134 MB\.$"):
        run_folder.saved_config(folder)


def test_another_number_of_devices_is_said(folder, monkeypatch):
    assert run_folder.other_devices(folder) is None
    monkeypatch.setattr(run_folder.machine, "description", lambda: {"count": 4})
    line = run_folder.other_devices(folder)
    assert "began on a device count of 1 and goes on with 4" in line


# ---------------------------------------------------------------------- code of users


def test_the_code_of_a_user_is_found_again(
    folder, config, dataset, tmp_path, fresh_imports, monkeypatch
):
    """And a change of it is one warning, also after the run went on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "code" not in run_folder.description(folder)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "nets_f.py").write_text("class Net:\n    pass\n")
    imports.add(tmp_path / "project")
    monkeypatch.setattr(run_folder.user_code, "paths_in", lambda _: ["nets_f.Net"])
    run_folder.describe(folder, config, dataset, {})
    assert run_folder.description(folder)["code"]["names"].keys() == {"nets_f.Net"}
    del sys.modules["nets_f"]
    sys.path.remove(str(tmp_path / "project"))
    assert run_folder.saved_config(folder) == config
    assert imports.root("nets_f.Net") == str(tmp_path / "project")
    (tmp_path / "project" / "nets_f.py").write_text("class Net:\n    other = True\n")
    for _ in range(2):
        with pytest.warns(DataWarning, match="nets_f.py has changed since the run in"):
            assert run_folder.claim(folder, config, overwrite=False)
        run_folder.describe(folder, config, dataset, {})


def test_a_record_of_code_that_was_changed_is_damage(folder, config, dataset):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["code"] = {"names": {"a.B": {"folder": "/tmp", "files": {}}}}
    path.write_text(json.dumps(content))
    with pytest.raises(Damaged, match="checksum"):
        run_folder.saved_config(folder)
