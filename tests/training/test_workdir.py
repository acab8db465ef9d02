"""A run's folder: whose it is, what may be removed, and what is written how."""

import json
from collections import namedtuple
from pathlib import Path

import pytest

from cnn_jax.data import digit_scenes, digits
from cnn_jax.errors import UserError
from cnn_jax.training import workdir
from cnn_jax.training.config import as_dict, default, hash_of
from cnn_jax.training.resolve import resolve


@pytest.fixture(scope="module")
def dataset():
    return digits.load(train_examples=40, test_examples=20)


@pytest.fixture
def config():
    return resolve(default().to_dict(), {"model.name": "mlp"})


@pytest.fixture
def folder(tmp_path, config, dataset):
    """The folder of a run that has just begun."""
    workdir.describe(tmp_path / "run", config, dataset, {})
    return tmp_path / "run"


def test_what_is_described_is_read_back(folder, config, dataset):
    assert workdir.saved_config(folder) == config
    found = workdir.saved_dataset(folder)
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
    workdir.describe(tmp_path / "scenes", config, scenes, {})
    assert workdir.saved_dataset(tmp_path / "scenes").label_shape == (24, 24)
    assert workdir.saved_dataset(folder).label_shape == ()
    workdir.check_data(tmp_path / "scenes", scenes)
    # Where a label is one class, the description is what it always was.
    content = json.loads((folder / "config.json").read_text())
    assert "label_shape" not in content["dataset"]


def test_the_commit_is_that_of_the_code(monkeypatch):
    seen = []

    def git(command, **options):
        seen.append((command[0], options["cwd"]))
        return namedtuple("Result", "stdout")("0123abc-dirty\n")

    monkeypatch.setattr(workdir.subprocess, "run", git)
    assert workdir._git_commit() == "0123abc-dirty"
    assert seen == [("git", Path(workdir.__file__).parent)]

    def absent(command, **options):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(workdir.subprocess, "run", absent)
    assert workdir._git_commit() is None


def test_whose_folder_it_is(folder, config, tmp_path):
    assert workdir.claim(folder, config, overwrite=False)
    assert not workdir.claim(tmp_path / "new", config, overwrite=False)
    assert not (tmp_path / "new").exists()
    other = resolve(as_dict(config), {"optimizer.learning_rate": "0.3", "seed": "5"})
    with pytest.raises(UserError) as error:
        workdir.claim(folder, other, overwrite=False)
    assert str(error.value) == (
        f"{folder} holds a run of another config: optimizer.learning_rate: 0.1 (now "
        "0.3); seed: 0 (now 5). Take another --workdir, or --overwrite this one."
    )


def test_a_file_is_no_folder(config, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"--workdir=.*file is a file"):
            workdir.claim(path, config, overwrite=overwrite)
    assert path.read_text() == "mine"


def test_overwriting_removes_what_a_run_writes_and_nothing_else(folder, config):
    for name in ("results.json", "metrics.jsonl", "events.out.tfevents.1.host"):
        (folder / name).write_text("{}")
    (folder / "checkpoints" / "3").mkdir(parents=True)
    (folder / "checkpoints" / "3" / "state").write_text("")
    (folder / "notes.txt").write_text("mine")
    (folder / "figures").mkdir()
    assert not workdir.claim(folder, config, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "figures"}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "{}", '{"config": 3}', "null"])
def test_a_config_json_that_is_no_runs(text, folder, config):
    """Damaged, or of another program: the name is a common one."""
    (folder / "config.json").write_text(text)
    for use in (
        workdir.saved_config,
        workdir.saved_dataset,
        lambda path: workdir.claim(path, config, overwrite=False),
    ):
        with pytest.raises(UserError, match="config"):
            use(folder)
    assert (folder / "config.json").read_text() == text


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        workdir.saved_config(tmp_path)


def test_room_for_the_best_the_last_and_the_next(tmp_path, monkeypatch):
    asked = []

    def disk(path):
        asked.append(path)
        return namedtuple("usage", "free")(4_000_000)

    monkeypatch.setattr(workdir.shutil, "disk_usage", disk)
    deep = tmp_path / "not" / "yet" / "there"
    workdir.check_space(deep, 1_000_000, 2)
    assert asked == [tmp_path] and not deep.parent.exists()
    with pytest.raises(UserError) as error:
        workdir.check_space(deep, 1_000_001, 2)
    assert "has 4.0 MB free" in str(error.value) and "need 4.0 MB" in str(error.value)
    with pytest.raises(UserError, match="need 5,000\\.0 MB"):
        workdir.check_space(deep, 1_000_000_000, 3)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    assert workdir.read_results(tmp_path) is None
    workdir.write_json(path, {"step": 3, "test/accuracy": 0.5})
    assert workdir.read_results(tmp_path) == {"step": 3, "test/accuracy": 0.5}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            workdir.write_json(path, {"step": 4})
    assert workdir.read_results(tmp_path)["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
