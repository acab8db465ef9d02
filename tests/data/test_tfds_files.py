"""Damaged sets of TFDS are one line, and no set imports code."""

import copy
import json
import math
import shutil
import sys
from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import describe, load

OPTIONS = {"image_size": 8, "test_split": "validation", "in_memory": True}
FEATURES = "tensorflow_datasets.core.features"


@pytest.fixture
def folder(prepared, tmp_path):
    """A copy of the set "shapes"."""
    path = tmp_path / "shapes" / "1.0.0"
    shutil.copytree(Path(prepared) / "shapes" / "1.0.0", path)
    return path


def read(folder, **options):
    return load("tfds:shapes", data_dir=str(folder.parents[1]), **OPTIONS | options)


def one_line(folder, **options):
    with pytest.raises(UserError) as error:
        read(folder, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


def changed(path, change):
    content = json.loads(path.read_text())
    result = change(content)
    path.write_text(json.dumps(content if result is None else result))


FILES = ["features.json", "dataset_info.json"]
CONTENTS = {
    "empty": b"",
    "zeros": bytes(100),
    "picture": b"\x89PNG\r\n\x1a\n",
    "list": b"[]",
    "null": b"null",
    "text": b'"text"',
    "nested": b'{"a":' * 100_000,
    "twice": b'{"name": "a", "name": "b"}',
    "foreign": b'{"images": [], "categories": []}',
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", FILES)
def test_other_content(folder, name, content):
    (folder / name).write_bytes(CONTENTS[content])
    assert name in one_line(folder)


@pytest.mark.parametrize("name", FILES)
def test_truncated_and_missing_files(folder, name):
    path = folder / name
    path.write_text(path.read_text()[:-20])
    assert f"{path} is not a JSON file" in one_line(folder)
    path.unlink()
    if name == "features.json":
        assert f"{path} cannot be read: No such file" in one_line(folder)
    path.mkdir()
    assert f"{path} cannot be read: Is a directory" in one_line(folder)


VALUES = [None, [], {}, "text", "{}/../x", True, math.nan, -3, 10**30]


def places(content, path=()):
    """The paths to all that is in a JSON file."""
    if path:
        yield path
    inner = enumerate(content) if isinstance(content, list) else ()
    inner = content.items() if isinstance(content, dict) else inner
    for key, value in inner:
        yield from places(value, (*path, key))


@pytest.mark.parametrize("name", FILES)
def test_every_other_value(folder, name):
    """Each other value gives an error of one line, or reads the same set."""
    path = folder / name
    good = json.loads(path.read_text())
    refused = 0
    for place in places(good):
        for value in [*VALUES, ...]:
            content = copy.deepcopy(good)
            inner = content
            for key in place[:-1]:
                inner = inner[key]
            if value is ...:
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            path.write_text(json.dumps(content))
            try:
                found = read(folder, in_memory=False)
                assert [len(split) for split in found.splits.values()] == [12, 4]
            except UserError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 60


EVIL = "evil_features.Feature"


def nested(feature):
    return {
        "pythonClassName": f"{FEATURES}.sequence_feature.Sequence",
        "sequence": {"feature": feature, "length": "-1"},
    }


def as_json(feature, name="features_dict.FeaturesDict"):
    content = {"json": json.dumps({"x": feature})}
    return {"pythonClassName": f"{FEATURES}.{name}", "jsonFeature": content}


WAYS = {
    "named": {"pythonClassName": EVIL, "tensor": {"dtype": "int64"}},
    "snake case": {"python_class_name": EVIL, "tensor": {"dtype": "int64"}},
    "another name": {"pythonClassName": "evil_features"},
    "in a sequence": nested({"pythonClassName": EVIL, "text": {}}),
    "deeper": nested(nested({"pythonClassName": EVIL, "text": {}})),
    "in json": as_json({"type": EVIL, "content": {}}),
    "in json in json": as_json(as_json({"pythonClassName": EVIL, "text": {}})),
    "former": {"type": EVIL, "content": {}},
}


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module in the working directory that nobody may import."""
    (tmp_path / "evil_features.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert "evil_features" not in sys.modules


@pytest.mark.parametrize("way", WAYS)
def test_no_set_imports_code(folder, evil, way):
    def add(content):
        content["featuresDict"]["features"]["other"] = WAYS[way]

    changed(folder / "features.json", add)
    message = one_line(folder)
    assert "features.json names the Python class 'evil_features" in message
    with pytest.raises(UserError, match="names the Python class 'evil_features"):
        describe("tfds:shapes", data_dir=str(folder.parents[1]), image_size=8)


@pytest.mark.parametrize("way", WAYS)
def test_no_set_imports_code_from_elsewhere(folder, evil, way):
    """The class is refused in all three places where a set can name one."""
    path = folder / "features.json"
    kept = path.read_text()
    path.write_text(json.dumps(WAYS[way]))
    assert "features.json names the Python class 'evil_features" in one_line(folder)
    former = {"type": f"{FEATURES}.features_dict.FeaturesDict"}
    path.write_text(json.dumps(former | {"content": {"other": WAYS[way]}}))
    assert "features.json names the Python class 'evil_features" in one_line(folder)
    text = json.dumps({"features": {"other": WAYS[way]}})
    proto = {"content": text, "proto_cls": "tensorflow_datasets.FeaturesDict"}
    path.write_text(json.dumps(former | proto))
    assert "features.json names the Python class 'evil_features" in one_line(folder)
    path.write_text(kept)
    changed(folder / "dataset_info.json", lambda info: info | {"features": WAYS[way]})
    assert "dataset_info.json names the Python class 'evil_feat" in one_line(folder)


def test_names_of_sets_import_no_code(tmp_path, evil):
    for name in ("evil_features", "evil_features/x", "huggingface:mnist", "a:b/c=1"):
        with pytest.raises(UserError, match="is not prepared"):
            describe(f"tfds:{name}", data_dir=str(tmp_path))


def test_features_in_their_former_form(folder):
    """TFDS wrote this form before version 4.3."""
    image = {"shape": [None, None, 3], "dtype": "uint8", "encoding_format": "jpeg"}
    parts = {
        "image": {"type": f"{FEATURES}.image_feature.Image", "content": image},
        "label": {
            "type": f"{FEATURES}.class_label_feature.ClassLabel",
            "content": {"num_classes": 2},
        },
    }
    former = {"type": f"{FEATURES}.features_dict.FeaturesDict", "content": parts}
    path = folder / "features.json"
    new = json.loads(path.read_text())
    reference = read(folder)
    path.write_text(json.dumps(former))
    assert read(folder).classes == reference.classes == ("dark", "light")
    path.unlink()
    changed(folder / "dataset_info.json", lambda info: info | {"features": new})
    assert read(folder).classes == ("dark", "light")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"dark\n", "has 1 class names, 1 of them different, but .* 2 classes"),
        (b"dark\ndark\n", "has 2 class names, 1 of them different"),
        (b"", "has 0 class names"),
        (b"dark\nl\xefght\n", "is damaged: 'utf-8' codec"),
    ],
)
def test_names_of_classes(folder, content, message):
    path = folder / "label.labels.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} {message}"):
        read(folder)


def test_numbers_stand_for_names_that_are_missing(folder):
    (folder / "label.labels.txt").unlink()
    assert read(folder).classes == ("0", "1")


def test_damaged_shards(folder):
    (shard,) = folder.glob("*train*")
    content = shard.read_bytes()
    flipped = bytearray(content)
    flipped[2000] ^= 1
    (other,) = folder.glob("*validation*")
    for bad, message in {
        b"": f"{shard} is damaged: ArrayRecord file should be at least 64KB",
        b"text" * 30_000: f"{shard} is damaged: Corrupted Riegeli",
        content[:100_000]: f"{shard} is damaged:",
        content[:65_536]: f"{shard} ",
        other.read_bytes(): f"{shard} of tfds:shapes has 4 examples, but",
        bytes(flipped): f"{shard}: example ",
    }.items():
        shard.write_bytes(bad)
        assert message in one_line(folder), message
    shard.unlink()
    shard.mkdir()
    assert f"{shard} of tfds:shapes is missing" in one_line(folder)


@pytest.mark.parametrize("lengths", [["13"], ["11"], ["6", "6"], ["-1"], [], ["x"]])
def test_other_lengths_of_shards(folder, lengths):
    def change(info):
        info["splits"][0]["shardLengths"] = lengths

    changed(folder / "dataset_info.json", change)
    message = one_line(folder)
    assert str(folder) in message or "is empty" in message


@pytest.mark.parametrize("stored", ["riegeli", "parquet", "tfrecord"])
def test_other_formats(folder, stored):
    changed(folder / "dataset_info.json", lambda info: info | {"fileFormat": stored})
    assert f"is stored as {stored}, which has no random access" in one_line(folder)


@pytest.mark.parametrize(
    "template", ["../{DATASET}", "{DATASET:>99999999999}", "{DATASET.__class__}", "/x"]
)
def test_other_names_of_shards(folder, template):
    def change(info):
        info["splits"][0]["filepathTemplate"] = template

    changed(folder / "dataset_info.json", change)
    assert "dataset_info.json is damaged: '" in one_line(folder)


def feature(folder, key, kind, **content):
    def change(described):
        described["featuresDict"]["features"][key][kind] |= content

    changed(folder / "features.json", change)


def test_labels_and_pictures_other_than_declared(folder):
    (folder / "label.labels.txt").unlink()
    feature(folder, "label", "classLabel", numClasses="1")
    assert "the label is 1; for 1 classes" in one_line(folder)
    feature(folder, "label", "classLabel", numClasses="2000000000")
    assert "'label' has 2000000000 classes; it must" in one_line(folder)
    feature(folder, "label", "classLabel", numClasses="2")
    feature(folder, "image", "image", shape={"dimensions": ["9", "9", "3"]})
    message = one_line(folder)
    assert "pixels (height x width), but" in message and "says 9x9" in message
    feature(folder, "image", "image", shape={"dimensions": ["-1", "-1", "4"]})
    assert "features.json is damaged: Acceptable `channels` for" in one_line(folder)
    feature(folder, "image", "image", encodingFormat="png")
    assert "images with 4 channels" in one_line(folder)
    feature(folder, "image", "image", shape={"dimensions": ["-1", "-1", "3"]})
    changed(
        folder / "features.json",
        lambda content: nested(content["featuresDict"]["features"]["label"]),
    )
    assert "must be dictionaries of features" in one_line(folder)
