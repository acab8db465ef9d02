"""Prepared TensorFlow Datasets, real ones and one made here."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import load
from cnn_jax.data.splits import Records


def test_the_start_of_mnist(tfds_dir):
    splits = {"train_split": "train[:1000]", "test_split": "test[:500]"}
    dataset = load("tfds:mnist", data_dir=tfds_dir, **splits)
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.classes == tuple("0123456789")
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert train.images.shape == (1000, 28, 28, 1) and len(test) == 500
    assert train.labels[:10].tolist() == [4, 1, 0, 7, 8, 1, 2, 7, 1, 6]


@pytest.mark.slow  # checking types on every call takes ten times as long as the work
def test_the_whole_of_mnist(tfds_dir):
    dataset = load("tfds:mnist", data_dir=tfds_dir)
    assert [len(split) for split in dataset.splits.values()] == [60000, 10000]
    np.testing.assert_allclose(dataset.mean, 0.1307, atol=1e-4)
    np.testing.assert_allclose(dataset.std, 0.3081, atol=1e-4)


def test_cifar10_in_memory_and_from_disk(tfds_dir, same_batches):
    options = {"train_split": "train[:2000]", "test_split": "test[:500]"}
    options["data_dir"] = tfds_dir
    whole = load("tfds:cifar10", **options)
    options |= {"train_examples": 500, "test_examples": 100}
    kept = load("tfds:cifar10", **options)
    assert kept.classes[:4] == ("airplane", "automobile", "bird", "cat")
    assert kept.image_shape == (32, 32, 3)
    for role, split in kept.splits.items():  # classes in proportion
        expected = np.bincount(whole.splits[role].labels) * len(split)
        counts = np.bincount(split.labels) * len(whole.splits[role])
        assert np.all(abs(counts - expected) <= len(whole.splits[role]))
    stored = load("tfds:cifar10", in_memory=False, **options)
    assert isinstance(stored.splits["train"], Records) and stored.crop == 1
    same_batches(kept, stored)


def test_our_decoding_is_that_of_tfds(tfds_dir):
    import tensorflow_datasets as tfds

    path = Path(tfds_dir) / "cifar10/3.0.2"
    theirs = tfds.builder_from_directory(path).as_data_source(split="test")
    ours = load("tfds:cifar10", data_dir=tfds_dir, in_memory=False).splits["test"]
    for i in (0, 17, 9999):
        example, reference = ours.example(i, None), theirs[i]
        np.testing.assert_array_equal(example["image"], reference["image"])
        assert example["label"] == reference["label"]


def test_parts_of_splits(tfds_dir):
    dataset = load(
        "tfds:mnist",
        data_dir=tfds_dir,
        train_split="train[:90%]",
        test_split="train[90%:]",
        in_memory=False,
    )
    assert [len(split) for split in dataset.splits.values()] == [54000, 6000]


def test_photos_of_many_sizes(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", prepared)
    options = {"test_split": "validation", "image_size": 16}
    dataset = load("tfds:shapes", **options, random_crop=(0.08, 1.0))
    assert dataset.classes == ("dark", "light") and dataset.image_shape == (16, 16, 3)
    train = dataset.splits["train"]
    assert isinstance(train, Records) and len(train) == 12
    for rng in (None, np.random.default_rng(0)):
        example = train.example(1, rng)
        np.testing.assert_allclose(example["image"], 200 * example["label"], atol=2)
    assert len(pickle.dumps(train)) < 1000  # what goes to each worker
    kept = load("tfds:shapes", **options, in_memory=True)
    assert kept.mean == tuple(dataset.mean)
    labels = [train.example(i, None)["label"] for i in range(12)]
    assert kept.splits["train"].labels.tolist() == labels


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "nothing",
            {},
            r"not prepared: the prepared sets in .* are shapes\. .*tfds build noth",
        ),
        ("shapes:2.0.0", {}, "unknown version .* '2.0.0'.*Known: 1.0.0"),
        ("shapes", {"image_size": 8}, "unknown split .* 'test'.*Known: train, valid"),
        ("shapes", {"image_size": 8, "train_split": "train[5:2]"}, "' of .* is empty"),
        ("shapes", {}, r"many sizes: set data\.image_size"),
        ("shapes", {"image_size": -1}, "image_size=-1 must be at least 1"),
        ("", {}, "needs the name of a data set"),
    ],
)
def test_mistakes_are_one_line(prepared, name, options, message):
    with pytest.raises(UserError, match=message) as error:
        load(f"tfds:{name}", data_dir=prepared, **options)
    assert "\n" not in str(error.value)


def test_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match="there are no prepared sets in") as error:
        load("tfds:cifar10")
    assert str(tmp_path) in str(error.value) and "TFDS_DATA_DIR" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_damaged_sets_are_one_line(prepared, tmp_path):
    options = {"data_dir": str(tmp_path), "image_size": 8, "test_split": "validation"}
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "shapes/1.0.0"
    (shard,) = folder.glob("*train*")
    shard.unlink()
    with pytest.raises(UserError, match=rf"{shard} .* is missing"):
        load("tfds:shapes", **options)
    info = json.loads((folder / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=r"stored as tfrecord.*array_record"):
        load("tfds:shapes", **options)
    info["fileFormat"] = "array_record"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    features = json.loads((folder / "features.json").read_text())
    features["featuresDict"]["features"]["label"] = {
        "pythonClassName": "tensorflow_datasets.core.features.scalar.Scalar",
        "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"},
    }
    (folder / "features.json").write_text(json.dumps(features))
    with pytest.raises(
        UserError, match=r"not a set for image classification.*image, label"
    ):
        load("tfds:shapes", **options)
