"""The walk through folders: each file once, whatever links, pipes and names there
are."""

import inspect
import os
import socket
import sys

import pytest

from cnn_jax import data
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import clip_files, restoration
from cnn_jax.data.walk import (
    SUFFIXES,
    below,
    by_name,
    check_apart,
    check_regular,
    folders,
    once,
    package_folder,
    visible_files,
)


@pytest.fixture
def tree(tmp_path):
    """Twelve files in a folder, and two more below it."""
    root = tmp_path / "tree"
    (root / "inner/deep").mkdir(parents=True)
    for i in range(12):
        (root / f"{i:02d}.png").touch()
    (root / "inner/a.png").touch()
    (root / "inner/deep/b.png").touch()
    return root


def names(root, paths):
    return [str(path.relative_to(root)) for path in paths]


def test_files_come_before_folders_in_the_order_of_their_names(tree):
    (tree / ".hidden.png").touch()
    (tree / "notes.txt").touch()
    (tree / "inner/deep.png").mkdir()  # a folder, whatever it is called
    expected = [f"{i:02d}.png" for i in range(12)] + ["inner/a.png", "inner/deep/b.png"]
    assert names(tree, below(tree)) == expected
    assert below(tree / "00.png") == [tree / "00.png"]


@pytest.mark.parametrize(
    "links",
    [
        {"latest": "."},
        {"latest": ".", "again": "."},
        {"up": ".."},
        {"inner/root": "../../tree"},
        {"inner/x": "../inner", "inner/deep/y": "../../inner"},
        {"alias": "inner", "0alias": "inner/deep"},
        {"0first.png": "11.png", "z.png": "00.png"},
    ],
)
def test_links_within_a_folder_change_nothing(tree, links):
    before = below(tree)
    for link, target in links.items():
        (tree / link).symlink_to(target)
    assert below(tree) == before


def test_hard_links_are_one_file(tree):
    os.link(tree / "03.png", tree / "99.png")
    assert len(below(tree)) == 14


def test_links_to_other_places_work(tree, tmp_path):
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    for name in ("x.png", "deep/y.png"):
        (tmp_path / "elsewhere" / name).touch()
    (tree / "file.png").symlink_to(tmp_path / "elsewhere/x.png")
    (tree / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tree / "inner")
    assert names(tree, below(tree))[12:] == [
        *("inner/a.png", "inner/deep/b.png", "more/x.png", "more/deep/y.png"),
    ]
    assert len(below(tree)) == 16
    (tmp_path / "named").symlink_to(tree)
    assert len(below(tmp_path / "named")) == 16


@pytest.mark.parametrize("link", ["gone.png", "inner/gone", "self.png"])
def test_a_link_that_leads_nowhere_is_named(tree, link):
    (tree / link).symlink_to("self.png")
    with pytest.raises(UserError, match=f"{link} is a link to self.png") as error:
        below(tree)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_not_opened(tree, monkeypatch):
    os.mkfifo(tree / "pipe.png")
    (tree / "null.png").symlink_to("/dev/null")
    os.mkfifo(tree / "pipe.txt")
    monkeypatch.chdir(tree)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        with pytest.warns(DataWarning) as caught:
            assert len(below(tree)) == 14
    texts = [str(warning.message) for warning in caught]
    assert texts == [
        f"{tree / name}.png is a pipe, a socket or a device: it is not read."
        for name in ("null", "pipe", "socket")
    ]
    for name in ("pipe.png", "null.png", "/dev/zero"):
        with pytest.raises(UserError, match="is a pipe"):
            check_regular(tree / name)
    for name in ("00.png", "inner", "missing.png"):
        check_regular(tree / name)


def test_a_deep_tree_is_walked(tmp_path):
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "x.png").touch()
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert below(tmp_path) == [folder / "x.png"]
    finally:
        sys.setrecursionlimit(before)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="missing cannot be read: No such file"):
        folders(tmp_path / "missing")


def test_a_file_is_kept_rather_than_a_link_to_it(tree):
    (tree / "0.png").symlink_to("05.png")
    found = once(visible_files(tree, SUFFIXES)).values()
    assert names(tree, found) == [f"{i:02d}.png" for i in range(12)]


def test_a_file_in_both_splits_is_refused(tree, tmp_path):
    test = tmp_path / "test"
    test.mkdir()
    os.link(tree / "03.png", test / "other.png")
    for dir, message in ((test, "03.png and .* are the same file"), (tree, "inner")):
        with pytest.raises(UserError, match=message):
            files = {"train": below(tree), "test": below(dir)[-1:]}
            check_apart(files, {"train": "a", "test": "b"})
    with pytest.raises(UserError, match="is in the training and in the test split"):
        restoration.split(str(tree), str(tree / "inner"))
    with pytest.raises(UserError, match="is in the training and in the test split"):
        restoration.split(str(tree), str(test))
    with pytest.warns(DataWarning, match="the test split reads the training pictures"):
        restoration.split(str(tree), str(tree))


def test_clips_count_once(tmp_path, write):
    for clip in ("a", "b"):
        for i in range(2):
            write(tmp_path / "clips" / clip / f"{i}.png")
    (tmp_path / "clips/z").symlink_to("a")
    (tmp_path / "clips/copy").mkdir()
    for i in range(2):  # as `cp -al` makes it
        os.link(tmp_path / f"clips/a/{i}.png", tmp_path / f"clips/copy/{i}.png")
    found = below(tmp_path / "clips", clip_files.CLIPS)
    assert names(tmp_path / "clips", found) == ["a", "b"]


def test_names_in_two_normal_forms_are_one(tmp_path):
    for name in ("caf\u00e9.png", "cafe\u0301.jpg"):
        (tmp_path / name).touch()
    paths = list(visible_files(tmp_path, SUFFIXES))
    assert list(by_name(paths[:1])) == list(by_name(paths[1:])) == ["caf\u00e9"]
    with pytest.raises(UserError, match="have the same name"):
        by_name(paths)


def classes(pets, write, test_name="test"):
    """`pets` with the splits train/ and test/."""
    pets.rename(pets.parent / "train")
    root = pets / "splits"
    root.mkdir(parents=True)
    (pets.parent / "train").rename(root / "train")
    for name in ("cat", "dog"):
        write(root / test_name / name / "new.png")
    return root


def test_a_file_in_train_and_test_or_in_two_classes_is_refused(pets, write):
    root = classes(pets, write)
    options = {"dir": str(root), "in_memory": False}
    (root / "train/cat/same.png").symlink_to("0.png")
    (root / "train/latest").symlink_to(".")
    assert len(data.load("folder", **options).splits["train"]) == 15
    (root / "test/dog/link.jpg").symlink_to(root / "train/dog/1.jpg")
    with pytest.raises(UserError, match="is in the training and in the test split"):
        data.load("folder", **options)
    (root / "test/dog/link.jpg").unlink()
    os.link(root / "train/cat/1.png", root / "train/dog/1.png")
    with pytest.raises(UserError, match=r"the same file in two classes"):
        data.load("folder", **options)


def test_a_validation_folder_that_is_not_read_is_named(pets, write):
    root = classes(pets, write)
    (root / "val").symlink_to("test")
    (root / "Train").mkdir()
    with pytest.warns(DataWarning, match="is not read") as caught:
        data.load("folder", dir=str(root), in_memory=False, val=0)
    read = f"is not read: the splits come from {root}/train and {root}/test."
    texts = [str(warning.message) for warning in caught]
    assert texts == [f"{root}/{name} {read}" for name in ("Train", "val")]


@pytest.mark.parametrize("name", ["volumes", "clips", "identities"])
def test_every_source_of_classes_refuses_shared_files(tmp_path, name):
    suffix = {"volumes": "npy", "clips": "mp4", "identities": "png"}[name]
    for split in ("train", "test"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / split / label / f"own.{suffix}").touch()
    os.link(tmp_path / f"train/a/own.{suffix}", tmp_path / f"test/a/link.{suffix}")
    with pytest.raises(UserError, match="is in the training and in the test split"):
        data.load(name, dir=str(tmp_path))


def test_folders_of_packages_are_found_without_importing_them():
    assert package_folder("sklearn").joinpath("__init__.py").is_file()
    assert package_folder("no_such_package") is None
