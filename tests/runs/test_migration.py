"""Runs of earlier versions are read, and go on."""

import json
import zipfile
from pathlib import Path

import pytest

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.data import augmentations
from cnn_jax.runs import config_json, migration

# A run of six steps that was ended after three, as version 1 wrote it: a task and its
# metrics had other names. The numbers are those of that version, on one CPU.
VERSION_1 = Path(__file__).with_name("version_1.zip")
THEN = {"test/loss": 2.2929077625274656, "test/accuracy": 0.15}
INVERT = """
from dataclasses import dataclass

from cnn_jax.core.ranges import Share
from cnn_jax.data.augmentations.augmentation import Augmentation


@dataclass(frozen=True, kw_only=True)
class Invert(Augmentation):
    inverted: Share = 1.0
"""
AT_3 = {"test/loss": 2.2918200492858887, "test/accuracy": 0.15}


@pytest.fixture
def old(tmp_path):
    with zipfile.ZipFile(VERSION_1) as archive:
        archive.extractall(tmp_path / "run")
    return tmp_path / "run"


def test_names_of_version_1():
    task = {"name": "localisation"}  # codespell:ignore
    given = {"seed": 0, "task": task, "data": {"name": "digits"}}
    found = migration.migrated(given, 1)
    # Versions without validation splits used all training examples.
    data = {"name": "digits", "val": 0}
    assert found == {**given, "task": {"name": "localization"}, "data": data}
    assert given["task"]["name"] == "localisation"  # codespell:ignore
    assert migration.migrated(found, migration.VERSION) == found


def test_a_folder_val_was_the_test_split_of_version_2():
    data = {"name": "folder", "dir": "pictures"}
    found = migration.migrated({"data": data}, 2)["data"]
    assert found["test_split"] == ["test", "val", "validation", "valid"]
    assert migration.migrated({"data": data}, 3)["data"] == data
    pair = {"data": {"name": "picture_and_style"}}  # has neither key
    assert migration.migrated(pair, 2) == pair


def test_augmentations_of_version_3_had_keys_of_their_own():
    data = {"name": "digits", "crop_padding": 2, "flip": True, "jitter": 0.4}
    given = {**data, "rotation": 10.0, "channels": 3}
    found = migration.migrated({"data": given}, 3)["data"]
    assert {k: found[k] for k in found.keys() - {"augmentations"}} == {
        "name": "digits",
        "channels": 3,
    }
    assert augmentations.resolved(found["augmentations"]) == (
        "crop(padding=2)",
        "flip(probability=0.5)",
        "rotation(degrees=10.0)",
        "color_jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0)",
    )
    off = {"crop_padding": 0, "flip": False, "jitter": 0.0, "rotation": 0.0}
    data = {"name": "digits", "augmentations": []}
    assert migration.migrated({"data": data | off}, 3)["data"] == {"name": "digits"}


def test_augmentations_of_users_had_keys_of_the_data(tmp_path):
    (tmp_path / "a_user.py").write_text(INVERT)
    imports.add(tmp_path)
    data = {"name": "digits", "augmentations": ["a_user.Invert"], "inverted": 0.25}
    found = migration.migrated({"data": data}, 3)["data"]
    assert found == {
        "name": "digits",
        "augmentations": [("a_user.Invert", {"inverted": 0.25})],
    }


IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("name", "facts", "weights", "expected"),
    [
        # In memory.
        ("folder", {"mean": [0.5] * 3, "crop": 1.0}, None, {}),
        # On the disk: with random crops, and without.
        (
            "csv",
            IMAGENET | {"crop": 0.875},
            None,
            {
                "random_crop": [0.08, 1.0],
                "eval_crop": 0.875,
                "normalization": "imagenet",
            },
        ),
        ("tfds:x", IMAGENET | {"crop": 1.0}, None, {"normalization": "imagenet"}),
        ("masks", IMAGENET | {"crop": 1.0}, None, {"normalization": "imagenet"}),
        # The normalization of the weights.
        (
            "folder",
            IMAGENET | {"crop": 0.875},
            "weights.safetensors",
            {"random_crop": [0.08, 1.0], "eval_crop": 0.875},
        ),
        # A source with the normalization of ImageNet everywhere.
        ("pictures_and_styles", IMAGENET | {"crop": 1.0}, None, {}),
    ],
)
def test_the_place_of_the_data_decided_before_version_5(name, facts, weights, expected):
    config = {"data": {"name": name}, "model": {"init_from": weights}}
    assert migration.migrated(config, 4, facts)["data"] == {"name": name} | expected
    assert migration.migrated(config, 5, facts) == config


def test_clips_had_a_crop_area_before_version_5():
    def migrated(area, crop):
        given = {"data": {"name": "clips", "crop_area": area}}
        return migration.migrated(given, 4, {"crop": crop})["data"]

    assert migrated(1.0, 1.0) == {"name": "clips"}
    crops = {"random_crop": [0.25, 1.0], "eval_crop": 0.875}
    assert migrated(0.25, 0.875) == {"name": "clips"} | crops


def test_a_config_of_version_1_is_read(old):
    config = config_json.read(old).config
    assert config.task.name == "localization" and config.model.width == 2


def test_a_newer_version_is_refused(old):
    path = old / "config.json"
    content = json.loads(path.read_text()) | {"schema": migration.VERSION + 1}
    content["checksum"] = config_json._checksum(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="newer version of cnn_jax"):
        config_json.read(old)


@pytest.mark.full
def test_a_run_of_version_1_is_evaluated_and_predicts(old, done, tmp_path):
    found = json.loads(done("evaluate", f"--workdir={old}", "--format=json"))
    assert found["step"] == 3
    assert {k: found[k] for k in AT_3} == pytest.approx(AT_3, rel=1e-4)
    picture = Path("docs/pictures/localization.jpg").resolve()
    out = done("predict", f"--workdir={old}", picture, "--format=json", "--top_k=2")
    ((first, second),) = [entry["predictions"] for entry in json.loads(out)]
    assert first["probability"] >= second["probability"] > 0


@pytest.mark.full
def test_a_run_of_version_1_goes_on(old, call):
    flags = ["--smoke", "--config.model.width=2", "--config.model.stage_sizes=(1,1,1)"]
    flags += ["--config.train.steps=6", "--config.eval.every_steps=3"]
    flags += ["--config.checkpoint.keep=2", "--config.data.val=0", f"--workdir={old}"]
    code, out, err = call("main", "--config=configs/localization.py", *flags)
    assert code == 0 and "resuming from step 3 of 6" in out + err
    results = json.loads((old / "results.json").read_text())
    assert {k: results[k] for k in THEN} == pytest.approx(THEN, rel=1e-4)
    assert "test/localization_error" in results
    assert json.loads((old / "config.json").read_text())["schema"] == migration.VERSION
