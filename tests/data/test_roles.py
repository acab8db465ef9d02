"""The validation split: a number, a share, a name, or a fold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import digits
from cnn_jax.data.dataset import into_memory
from cnn_jax.data.roles import Roles
from cnn_jax.data.splits import Arrays
from cnn_jax.data.subset import Subset

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=80)


def numbered(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Arrays(images, np.array(labels, np.int32))


def numbers(split):
    return split.images.ravel().tolist()


TEST = numbered([0])


@given(LABELS, st.data())
def test_validation_examples_are_taken_from_training_by_class(labels, draw):
    count = draw.draw(st.integers(1, len(labels) - 1))
    made = Roles(val=count).of({"train": numbered(labels), "test": TEST})
    train, val = numbers(made["train"]), numbers(made["val"])
    assert len(val) == count and sorted(train + val) == list(range(len(labels)))
    fair = np.bincount(labels, minlength=5) * count / len(labels)
    assert np.abs(np.bincount(made["val"].labels, minlength=5) - fair).max() < 2.5
    assert train == sorted(train) and val == sorted(val)
    assert numbers(made["test"]) == [0]
    # A larger validation split contains a smaller one.
    if count > 1:
        fewer = Roles(val=count - 1).of({"train": numbered(labels), "test": TEST})
        assert set(numbers(fewer["val"])) < set(val)


@given(LABELS, st.integers(2, 7), st.integers(0, 3))
def test_folds_cover_every_example_once(labels, folds, seed):
    folds = min(folds, len(labels))
    parts = [
        Roles(fold=f"{i + 1}/{folds}", val_seed=seed).of(
            {"train": numbered(labels[2:]), "val": numbered(labels[:2]), "test": TEST}
            if len(labels) > 2
            else {"train": numbered(labels), "test": TEST}
        )
        for i in range(folds)
    ]
    sizes = [len(part["val"]) for part in parts]
    assert sum(sizes) == len(labels) and max(sizes) - min(sizes) <= 1
    assert all(len(p["train"]) + len(p["val"]) == len(labels) for p in parts)


def test_folds_are_as_balanced_as_those_of_scikit_learn():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    theirs = [
        np.bincount(labels[val])
        for _, val in StratifiedKFold(5).split(np.zeros(100), labels)
    ]
    ours = [
        np.bincount(labels[Roles(fold=f"{i}/5").divide(100, labels)[1]])
        for i in range(1, 6)
    ]
    assert np.abs(np.array(ours) - theirs).max() <= 1


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=60),
    st.integers(2, 3),
    st.booleans(),
)
def test_a_group_is_never_divided(groups, folds, known):
    folds = min(folds, len(set(groups)))
    if folds < 2:
        return
    labels = np.array([ord(g) % 3 for g in groups]) if known else None
    chosen = []
    for i in range(folds):
        try:
            train, val = Roles(fold=f"{i + 1}/{folds}").divide(
                len(groups), labels, groups
            )
        except UserError as error:  # one group may be larger than a fold
            assert "split empty" in str(error)
            continue
        assert not {groups[j] for j in train} & {groups[j] for j in val}
        chosen += val.tolist()
    assert len(chosen) == len(set(chosen))


def test_the_choice_comes_before_other_subsets():
    whole, few = (
        data.load("digits", val=0.1, train_examples=n).splits for n in (None, 50)
    )
    np.testing.assert_array_equal(whole["val"].images, few["val"].images)
    assert len(few["train"]) == 50 and len(few["val"]) == 144
    other = data.load("digits", val=0.1, val_seed=1).splits["val"]
    assert not np.array_equal(other.images, few["val"].images)
    # A run without a validation split sees the same examples as ever.
    for val in (None, 0, 0.0):
        assert data.load("digits", val=val).splits.keys() == {"train", "test"}


def test_the_choice_does_not_depend_on_where_pictures_are(tmp_path, write):
    for name in "ab":
        for i in range(10):
            write(tmp_path / name / f"{i}.png")
    options = {"dir": str(tmp_path), "image_size": 8, "val": 0.25}
    streamed = data.load("folder", **options, in_memory=False).splits["val"]
    held = data.load("folder", **options, in_memory=True).splits["val"]
    decoded = into_memory(replace(streamed, crop=1.0))
    np.testing.assert_array_equal(decoded.images, held.images)
    np.testing.assert_array_equal(decoded.labels, held.labels)


def test_a_folder_val_validates(tmp_path, write):
    for split, count in (("train", 5), ("val", 3), ("test", 2), ("more", 4)):
        for name in "ab":
            for i in range(count):
                write(tmp_path / split / name / f"{split}{i}.png")
    options = {"dir": str(tmp_path), "image_size": 8, "in_memory": False}

    def sizes(**more):
        splits = data.load("folder", **options, **more).splits
        return {role: len(split) for role, split in splits.items()}

    assert sizes() == {"train": 10, "val": 6, "test": 4}
    assert sizes(val="more") == {"train": 10, "val": 8, "test": 4}
    with pytest.warns(match="val is not read"):
        assert sizes(val=0) == {"train": 10, "test": 4}
    with pytest.warns(match="val is not read"):
        assert sizes(val=0.3) == {"train": 7, "val": 3, "test": 4}
    assert sizes(fold="2/4") == {"train": 12, "val": 4, "test": 4}
    with pytest.raises(UserError, match=r"data\.val='absent': .* has no folder"):
        sizes(val="absent")


def test_a_folder_val_is_not_taken_for_test(tmp_path, write):
    for split in ("train", "val"):
        for name in "ab":
            for i in range(5):
                write(tmp_path / split / name / f"{split}{i}.png")
    options = {"dir": str(tmp_path), "image_size": 8, "in_memory": False}
    with pytest.raises(UserError, match=r"set config\.data\.test_split=val to test"):
        data.load("folder", **options)
    tested = data.load("folder", **options, test_split=("val",)).splits
    assert {role: len(split) for role, split in tested.items()} == {
        "train": 10,
        "test": 10,
    }
    divided = data.load("folder", **options, test_split=()).splits
    assert {role: len(split) for role, split in divided.items()} == {
        "train": 8,
        "val": 10,
        "test": 2,
    }


def test_groups_of_a_table_are_never_divided(tmp_path, write):
    lines = ["path,label,patient"]
    for i in range(24):
        write(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]},{i // 4}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    options = {"file": str(tmp_path / "t.csv"), "group_column": "patient"}
    made = data.load("csv", **options, val=0.25, in_memory=False, image_size=8).splits
    patients = [
        {int(split.reader.paths[i].rpartition("/")[2][:-4]) // 4 for i in kept}
        for split in made.values()
        for kept in [
            range(len(split.reader)) if split.indices is None else split.indices
        ]
    ]
    assert sorted(map(len, patients)) == [1, 1, 4]
    assert len(set.union(*patients)) == 6


@pytest.mark.parametrize("name", ["digit_scenes", "moving_digits"])
def test_digits_of_validation_scenes_are_in_no_other_scene(name):
    made = data.load(name, val=10, train_examples=50, test_examples=3).splits
    assert {role: len(split) for role, split in made.items()} == {
        "train": 40,
        "val": 10,
        "test": 3,
    }
    parts = digits.scenes(Roles(val=10), 50, 3)
    seen = [{i.tobytes() for i in pool.images} for pool, _ in parts.values()]
    assert not seen[0] & seen[1]


def test_identities_of_validation_are_unseen():
    made = data.load("identities", val=0.3)
    train, val, test = (
        set(made.splits[role].labels.tolist()) for role in ("train", "val", "test")
    )
    assert not train & val and not val & test and len(val) == 2
    assert train == set(range(len(made.classes)))
    assert val | test == {len(made.classes) + i for i in range(len(made.unseen))}


def test_restored_pictures_validate_whole():
    made = data.load("super_resolution", val=100, train_examples=20)
    assert {role: len(split) for role, split in made.splits.items()} == {
        "train": 20,
        "val": 100,
        "test": 360,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": "validation"}, "no splits with names"),
        ({"val": 1437}, "takes all of the 1,437"),
        ({"val": -1}, r"data\.val=-1 must be at least 0"),
        ({"val": 1.0}, r"data\.val=1\.0 must be"),
        ({"fold": "6/5"}, "must be NUMBER/FOLDS"),
        ({"fold": "0/5"}, "must be NUMBER/FOLDS"),
        ({"fold": "1/1"}, "must be NUMBER/FOLDS"),
        ({"fold": "2"}, "must be NUMBER/FOLDS"),
        ({"fold": "1/5", "val": 0.1}, "set one of them"),
        ({"fold": "1/2000"}, "split empty"),
    ],
)
def test_mistakes_are_one_line(options, message):
    with pytest.raises(UserError, match=message) as error:
        data.load("digits", **options)
    assert "\n" not in str(error.value)


def test_the_keys_can_be_read_by_a_subset():
    keys = Subset(val=3, train_examples=2)
    made = keys.of({"train": numbered([0] * 9), "test": TEST})
    assert [len(made[role]) for role in ("train", "val", "test")] == [2, 3, 1]
