"""The user's own pictures."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import load
from cnn_jax.data.loading import eval_batches, train_batches
from cnn_jax.data.splits import Arrays, Records


def names(dataset, role):
    """The paths of a split that stays on the disk, from the class folder on."""
    split = dataset.splits[role]
    return ["/".join(Path(path).parts[-2:]) for path in split.reader.paths]


def test_class_folders_are_split(pets):
    dataset = load("folder", dir=str(pets), image_size=8)
    assert dataset.classes == ("cat", "dog") and dataset.image_shape == (8, 8, 3)
    counts = {r: np.bincount(s.labels).tolist() for r, s in dataset.splits.items()}
    assert counts == {"train": [8, 4], "test": [2, 1]}
    train = dataset.splits["train"]
    assert np.all(train.images[train.labels == 0] == 0)
    assert np.all(train.images[train.labels == 1] == 255)
    assert dataset.mean == pytest.approx((1 / 3,) * 3)
    assert dataset.std == pytest.approx((np.sqrt(2) / 3,) * 3)
    for role, split in dataset.splits.items():
        named = [name.split("/")[0] for name in dataset.identities(role)]
        assert named == [dataset.classes[label] for label in split.labels]


def test_the_split_of_a_class_depends_on_nothing_else(pets, write):
    before = load("folder", dir=str(pets), in_memory=False)
    moved = pets.parent / "moved"
    for path in sorted(pets.glob("*/*"), reverse=True):
        (moved / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, moved / path.parent.name)
    for i in range(9):
        write(moved / "axolotl" / f"{i}.png")
    after = load("folder", dir=str(moved), in_memory=False)
    for role in ("train", "test"):
        kept = [name for name in names(after, role) if "axolotl" not in name]
        assert kept == names(before, role)
    assert not set(names(after, "train")) & set(names(after, "test"))
    assert len(names(after, "test")) == 2 + 1 + 2


@pytest.mark.parametrize("test_name", ["test", "val", "validation", "Test"])
def test_split_folders(tmp_path, write, test_name):
    for split, count in (("train", 3), (test_name, 2)):
        for name in ("a", "b"):
            for i in range(count):
                write(tmp_path / split / name / f"{i}.PNG")
    dataset = load(
        "folder", dir=str(tmp_path), in_memory=False, test_split=("test", test_name)
    )
    assert dataset.classes == ("a", "b")
    assert len(dataset.splits["train"]) == 6 and len(dataset.splits["test"]) == 4
    assert all(test_name in p for p in dataset.splits["test"].reader.paths)


def test_a_train_folder_alone_is_split(tmp_path, write):
    for name in ("a", "b"):
        for i in range(5):
            write(tmp_path / "train" / name / f"{i}.png")
    dataset = load("folder", dir=str(tmp_path), in_memory=False)
    assert [len(dataset.splits[role]) for role in ("train", "test")] == [8, 2]


def test_a_class_may_be_called_train(tmp_path, write):
    for name in ("train", "plane"):
        for i in range(5):
            write(tmp_path / name / f"{i}.png")
    dataset = load("folder", dir=str(tmp_path), in_memory=False)
    assert dataset.classes == ("plane", "train")


def test_numbers_are_sorted_by_value(tmp_path, write):
    for name in ("10", "2", "1"):
        write(tmp_path / name / "a.png")
        write(tmp_path / name / "b.png")
    assert load("folder", dir=str(tmp_path)).classes == ("1", "2", "10")
    write(tmp_path / "x" / "a.png")
    assert load("folder", dir=str(tmp_path)).classes == ("1", "10", "2", "x")


def test_other_files_are_ignored(pets):
    (pets / "README.md").write_text("my pets")
    (pets / ".DS_Store").write_bytes(b"\0")
    (pets / ".cache").mkdir()
    (pets / "__MACOSX").mkdir()
    (pets / "cat" / "Thumbs.db").write_bytes(b"\0")
    (pets / "cat" / "._0.png").write_bytes(b"\0")
    (pets / "cat" / "notes").mkdir()
    dataset = load("folder", dir=str(pets))
    assert [len(split) for split in dataset.splits.values()] == [12, 3]


def test_memory_and_disk_hold_the_same_examples(pets):
    kept = load("folder", dir=str(pets), image_size=8, channels=1)
    stored = load("folder", dir=str(pets), image_size=8, channels=1, in_memory=False)
    assert isinstance(stored.splits["train"], Records)
    assert (tuple(stored.mean), tuple(stored.std)) == (kept.mean, kept.std)
    assert stored.crop == kept.crop == 1
    for role, split in kept.splits.items():
        for i, label in enumerate(split.labels):
            example = stored.splits[role].example(i, None)
            assert example["label"] == label
            assert example["image"].shape == (8, 8, 1)
            np.testing.assert_array_equal(example["image"], split.images[i])


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"eval_crop": 0.875, "interpolation": "lanczos"},
        {"random_crop": (0.08, 1.0), "eval_crop": 0.5, "interpolation": "bicubic"},
    ],
)
def test_where_the_pictures_lie_changes_no_batch(tmp_path, write, keys):
    for i in range(11):
        write(tmp_path / "ab"[i % 2] / f"{i}.png", size=(30 + i, 40))
    options = {"dir": str(tmp_path), "image_size": 12, **keys}
    kept, stored = (
        load("folder", **options, in_memory=in_memory) for in_memory in (True, False)
    )
    assert isinstance(kept.splits["test"], Arrays)
    assert isinstance(kept.splits["train"], Arrays) == ("random_crop" not in keys)
    assert isinstance(stored.splits["test"], Records)
    assert kept.crop == stored.crop == keys.get("eval_crop", 1.0)
    for ours, theirs in ((kept.mean, stored.mean), (kept.std, stored.std)):
        assert tuple(ours) == tuple(theirs) and len(ours) == 3

    def batches(dataset):
        steps = {"batch_size": 5, "seed": 1, "start_step": 0, "stop_step": 4}
        yield from train_batches(dataset.splits["train"], **steps)
        yield from eval_batches(dataset.splits["test"], batch_size=2)

    for ours, theirs in zip(batches(kept), batches(stored), strict=True):
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])
    plain = load("folder", dir=str(tmp_path), image_size=12)
    first, *_ = batches(plain)
    different = (first["image"] != next(batches(kept))["image"]).any()
    assert different == bool(keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: shutil.rmtree(d), "does not exist"),
        (lambda d: [shutil.rmtree(x) for x in d.iterdir()], "holds no pictures in"),
        (lambda d: (d / "bird").mkdir(), "class folder .*bird holds no pictures"),
        (lambda d: shutil.rmtree(d / "dog"), "holds only one class, 'cat'"),
        (
            lambda d: (d / "cat/3.png").write_bytes(b"?"),
            r"image .*cat/3\.png: the file is not an",
        ),
    ],
)
def test_bad_folders_are_one_line(pets, change, message):
    change(pets)
    with pytest.raises(UserError, match=message) as error:
        load("folder", dir=str(pets))
    assert str(pets) in str(error.value) and "\n" not in str(error.value)


def test_other_mistakes_are_one_line(pets, write, tmp_path):
    for options, message in (
        ({}, r"data\.dir is not set"),
        ({"dir": str(pets / "cat/0.png")}, "is not a folder"),
        ({"dir": str(pets / "cat")}, "not directly into"),
        ({"dir": str(pets.parent)}, "set data.dir to .*pets or"),
        ({"dir": str(pets), "test_fraction": 1.0}, "test_fraction=1.0"),
        ({"dir": str(pets), "image_size": 0}, "image_size=0"),
        ({"dir": str(pets), "channels": 2}, "channels is 2"),
    ):
        with pytest.raises(UserError, match=message):
            load("folder", **options)
    for split, classes in (("train", "ab"), ("test", "abc")):
        for name in classes:
            write(tmp_path / "splits" / split / name / "0.png")
    with pytest.raises(UserError, match=r"class 'c' .* has no pictures to train on"):
        load("folder", dir=str(tmp_path / "splits"))


def test_sign_language_digits(shared_data):
    dataset = load("folder", dir=str(shared_data / "sign_language_digits"))
    assert dataset.classes == tuple("0123456789")
    sizes = {role: len(split) for role, split in dataset.splits.items()}
    assert sum(sizes.values()) == 2062 and sizes["test"] == 411
    assert dataset.image_shape == (64, 64, 3)


def test_orl_faces(shared_data):
    dataset = load("folder", dir=str(shared_data / "orl_faces"), channels=1)
    assert len(dataset.classes) == 40
    for role, each in (("train", 8), ("test", 2)):
        assert np.all(np.bincount(dataset.splits[role].labels) == each)


def test_class_folders_of_any_name(tmp_path, write):
    for name in (b"caf\xe9", b"price $5^^$", b"a\nb"):
        for i in range(2):
            write(tmp_path / os.fsdecode(name) / os.fsdecode(b"%d\xe9.png" % i))
    dataset = load("folder", dir=str(tmp_path), image_size=8)
    assert dataset.classes == (r"a\nb", r"caf\xe9", "price $5^^$")
    stored = load("folder", dir=str(tmp_path), image_size=8, in_memory=False)
    assert {len(split) for split in stored.splits.values()} == {3}


def test_classes_of_two_normal_forms(tmp_path, write):
    nfc, nfd = "caf\u00e9", "cafe\u0301"
    for place in (f"train/{nfd}", f"test/{nfc}", "train/dog", "test/dog"):
        write(tmp_path / place / "a.png")
    dataset = load("folder", dir=str(tmp_path))
    assert dataset.classes == (nfd, "dog")
    assert dataset.splits["test"].labels.tolist() == [0, 1]
    write(tmp_path / "train" / nfc / "b.png")
    with pytest.raises(UserError, match=r"'cafe\\u0301' and 'caf\\xe9'"):
        load("folder", dir=str(tmp_path))
