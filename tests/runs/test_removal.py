"""`--overwrite`: what it removes, what it leaves, and a kill in its middle."""

import json
import os
import shutil

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import digits
from cnn_jax.runs import config_json, removal, run_folder
from cnn_jax.runs.resolve import resolve
from cnn_jax.training.config import as_dict, default

CALLS = ("mkdir", "rename", "replace", "unlink", "rmdir")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    """Leaves out the search for the git commit, which is the slowest part."""
    monkeypatch.setattr(config_json, "_git_commit", lambda: None)


@pytest.fixture(scope="module")
def dataset():
    return digits.SOURCE.load(train_examples=40, test_examples=20)


@pytest.fixture(scope="module")
def config():
    return resolve(default().to_dict(), {"model.name": "mlp"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory, config, dataset):
    """A complete run's folder, with files of the user's."""
    folder = tmp_path_factory.mktemp("removal") / "run"
    config_json.describe(folder, config, dataset, {})
    run_folder.write_results(folder, {"step": 3})
    for name in ("metrics.jsonl", "events.out.tfevents.1.host.2", "notes.txt"):
        (folder / name).write_text("{}\n")
    (folder / "predictions").mkdir()
    (folder / "predictions" / "test.npz").write_text("PK")
    for step in ("3", "5.orbax-checkpoint-tmp"):
        (folder / "checkpoints" / step / "state").mkdir(parents=True)
        (folder / "checkpoints" / step / "progress").mkdir()
        (folder / "checkpoints" / step / "progress" / "metadata").write_text("{}")
    (folder / "checkpoints" / "mine.bin").write_text("mine")
    return folder


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def overwrite(folder, config, dataset):
    """Prepares a run's folder as training does before it begins."""
    run_folder.overwrite(folder)
    config_json.describe(folder, config, dataset, {})


def killed_at(number, monkeypatch, act):
    """Whether `act` was killed before its call `number` of the file system."""
    count = 0
    with monkeypatch.context() as patch:
        for name in CALLS:
            real = getattr(os, name)

            def call(*args, real=real, **options):
                nonlocal count
                count += 1
                if count == number:
                    raise Killed
                return real(*args, **options)

            patch.setattr(os, name, call)
        try:
            act()
        except Killed:
            return True
    return False


def test_a_kill_leaves_the_old_run_or_a_folder_for_a_new_one(
    whole, config, dataset, monkeypatch, tmp_path
):
    old, other = content(whole), resolve(as_dict(config), {"seed": "1"})
    mine = {"notes.txt": b"{}\n", "checkpoints/mine.bin": b"mine"}
    number, states = 0, []
    killed = True
    while killed:
        number += 1
        folder = shutil.copytree(whole, tmp_path / str(number))
        killed = killed_at(
            number, monkeypatch, lambda f=folder: overwrite(f, other, dataset)
        )
        if {**content(folder), **old} == content(folder):
            states.append("old")
            assert run_folder.begun(folder, config)
            assert run_folder.read_results(folder) == {"step": 3}
            overwrite(folder, other, dataset)
        elif (folder / "config.json").exists():
            states.append("new")
            assert run_folder.begun(folder, other)
        else:
            states.append("between")
            with pytest.raises(UserError):
                config_json.read(folder)
            # With --overwrite, and without.
            again = shutil.copytree(folder, tmp_path / f"{number} again")
            overwrite(again, other, dataset)
            assert content(again).keys() == {*mine, "config.json"}
            assert not run_folder.begun(folder, other)
            config_json.describe(folder, other, dataset, {})
        config_json.describe(folder, other, dataset, {})
        left = content(folder)
        assert config_json.read(folder).config == other
        left.pop("config.json")
        assert left == mine and not (folder / removal.HIDDEN).exists()
    assert sorted({*states}, key=states.index) == ["old", "between", "new"]
    assert states == sorted(states, key=["old", "between", "new"].index)
    assert states.count("between") > 8


FOREIGN = [
    '{"architectures": ["ResNet"], "model_type": "resnet"}',
    '{"config": {"model": {}}, "dataset": {}}',
    "{",
    "",
    "[1]",
    "null",
    "7",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_what_is_no_runs_is_left(text, config, dataset, tmp_path):
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "checkpoints" / "epoch_90.bin").write_text("weeks")
    for name, value in (("config.json", text), ("results.json", '{"top1": 76.1}')):
        (tmp_path / name).write_text(value)
    (tmp_path / "events.csv").write_text("a,b")
    before = content(tmp_path)
    for use in (run_folder.check_overwrite, removal.remove):
        with pytest.raises(UserError, match=r"is not the config\.json of"):
            use(tmp_path)
    assert content(tmp_path) == before


def test_damage_does_not_make_a_run_somebody_elses(whole, config, dataset, tmp_path):
    for number, text in enumerate(["", "{", "\0" * 50]):
        folder = shutil.copytree(whole, tmp_path / str(number))
        (folder / "config.json").write_text(text)
        overwrite(folder, config, dataset)
        assert not (folder / "results.json").exists()


def test_runs_of_old_versions_are_runs(whole, config, dataset, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    known = json.loads((folder / "config.json").read_text())
    for key in ("checksum", "device", "tags"):
        known.pop(key)
    (folder / "config.json").write_text(json.dumps(known))
    shutil.rmtree(folder / "checkpoints")
    assert run_folder.begun(folder, config)
    overwrite(folder, config, dataset)
    assert not (folder / "results.json").exists()


def test_links_are_the_users(whole, config, dataset, tmp_path):
    """Checkpoints on another disk are removed, and the link to it stays."""
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "checkpoints").rename(tmp_path / "disk")
    (folder / "checkpoints").symlink_to(tmp_path / "disk")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    (tmp_path / "disk" / "7").symlink_to(tmp_path / "other")
    overwrite(folder, config, dataset)
    assert (folder / "checkpoints").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["mine.bin"]
    assert (tmp_path / "other" / "file").exists()
