"""config.json: written, read again, damaged, and of somebody else."""

import dataclasses
import json
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from cnn_jax.core import imports
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.core.records import Damaged
from cnn_jax.data import digit_scenes
from cnn_jax.runs import config_json, dataset_facts, run_folder
from cnn_jax.training.config import as_dict, hash_of, identity
from tests.made import flipped

WRONG = {
    "nested": "[" * 100_000,
    "nested objects": '{"config":' * 100_000,
    "a long number": "9" * 10_000,
    "not UTF-8": b'{"config": "\xff"}',
    "two values": "{} {}",
    "a string": '"config"',
}
VALUES = [None, True, -1, 0, 1e999, "text", [], [[]], {}, [-3], ["a"], [1e999], 10**30]


def test_what_is_described_is_read_back(folder, config, dataset):
    assert config_json.read(folder).config == config
    found = config_json.read(folder).dataset
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
    config_json.describe(tmp_path / "scenes", config, scenes, {})
    assert config_json.read(tmp_path / "scenes").dataset.label_shape == (24, 24)
    assert config_json.read(folder).dataset.label_shape == ()
    run_folder.check_data(config_json.read(tmp_path / "scenes"), scenes)
    # Where a label is one class, the description is what it always was.
    content = json.loads((folder / "config.json").read_text())
    assert "label_shape" not in content["dataset"]


def test_the_commit_is_that_of_the_code(monkeypatch):
    seen = []

    def git(command, **options):
        seen.append((command[0], options["cwd"]))
        return namedtuple("Result", "stdout")("0123abc-dirty\n")

    monkeypatch.setattr(config_json.subprocess, "run", git)
    assert config_json._git_commit() == "0123abc-dirty"
    assert seen == [("git", Path(run_folder.__file__).parent)]

    def absent(command, **options):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(config_json.subprocess, "run", absent)
    assert config_json._git_commit() is None


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "{}", '{"config": 3}', "null"])
def test_a_config_json_that_is_no_runs(text, folder, config):
    """Damaged, or of another program: the name is a common one."""
    (folder / "config.json").write_text(text)
    for use in (
        config_json.read,
        lambda path: run_folder.begun(path, config),
    ):
        with pytest.raises(UserError, match="config"):
            use(folder)
    assert (folder / "config.json").read_text() == text


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        config_json.read(tmp_path)


def test_no_flipped_bit_of_config_json_is_believed(folder, config, dataset):
    """Refused, or of no consequence; and the run's own command mends it."""
    refused = mended = 0
    for _ in flipped(folder / "config.json", 0, 150):
        try:
            found = config_json.read(folder).dataset
            assert identity(config_json.read(folder).config) == identity(config)
        except UserError as error:
            refused += 1
            assert str(folder / "config.json") in str(error)
        else:
            assert dataset_facts.of(found) | {"examples": 0} == dataset_facts.of(
                dataclasses.replace(dataset, splits={})
            ) | {"examples": 0}
        try:
            mended += run_folder.begun(folder, config) is not None
        except UserError as error:
            assert str(folder / "config.json") in str(error)
    # One bit of the line with the hash can make both the hash and the JSON unreadable.
    assert refused > 120 and mended > 145
    assert config_json.read(folder)


def test_the_places_of_data_may_be_changed_by_hand(folder, config):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"]["data"]["workers"] = 3
    path.write_text(json.dumps(content))
    assert config_json.read(folder).config.data.workers == 3
    content["config"]["data"]["batch_size"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(Damaged, match="checksum"):
        config_json.read(folder)


@pytest.mark.parametrize("kind", WRONG)
def test_a_config_json_of_any_text(kind, folder, config):
    text = WRONG[kind]
    path = folder / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for use in (
        config_json.description,
        config_json.read,
        run_folder.check_overwrite,
    ):
        with pytest.raises(UserError, match="config") as error:
            use(folder)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"config\.json"):
        run_folder.begun(folder, config)


@pytest.mark.parametrize("part", ["config", "dataset"])
def test_a_config_json_with_values_of_any_type(part, folder):
    """Another program, or an attacker, could write any value into the file."""
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
            try:
                config_json.read(folder)
            except UserError as error:
                assert "\n" not in str(error)


def test_a_record_of_gigabytes(folder):
    with (folder / "config.json").open("ab") as file:
        file.truncate(2**33)
    with pytest.raises(UserError, match=r"has more than 134 MB, which is too large"):
        config_json.read(folder)


def test_the_code_of_a_user_is_found_again(
    folder, config, dataset, tmp_path, monkeypatch
):
    """A change of the code gives one warning, also after the run was resumed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "code" not in config_json.description(folder)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "nets_f.py").write_text("class Net:\n    pass\n")
    imports.add(tmp_path / "project")
    monkeypatch.setattr(config_json.user_code, "paths_in", lambda _: ["nets_f.Net"])
    config_json.describe(folder, config, dataset, {})
    assert config_json.description(folder)["code"]["names"].keys() == {"nets_f.Net"}
    del sys.modules["nets_f"]
    sys.path.remove(str(tmp_path / "project"))
    assert config_json.read(folder).config == config
    assert imports.root("nets_f.Net") == str(tmp_path / "project")
    (tmp_path / "project" / "nets_f.py").write_text("class Net:\n    other = True\n")
    for _ in range(2):
        with pytest.warns(DataWarning, match="nets_f.py has changed since the run in"):
            assert run_folder.begun(folder, config)
        config_json.describe(folder, config, dataset, {})


def test_a_record_of_code_that_was_changed_is_damage(folder, config, dataset):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["code"] = {"names": {"a.B": {"folder": "/tmp", "files": {}}}}
    path.write_text(json.dumps(content))
    with pytest.raises(Damaged, match="checksum"):
        config_json.read(folder)
