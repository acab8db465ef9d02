"""Pictures split by who is on them."""

from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import describe, identities, load


@pytest.fixture
def people(tmp_path, write):
    """dir/<person>/*: eight people, each of one gray, three pictures each."""
    for person in range(8):
        for i in range(3):
            write(tmp_path / f"people/p{person}/{i}.pgm", value=10 * person, mode="L")
    return tmp_path / "people"


def test_nobody_is_in_both_splits(people):
    dataset = load("identities", dir=str(people), image_size=(8,), channels=1)
    assert len(dataset.classes) == 6 and len(dataset.unseen) == 2
    names = [*dataset.classes, *dataset.unseen]
    assert sorted(names) == [f"p{i}" for i in range(8)]
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert np.bincount(train.labels).tolist() == [3] * 6
    assert np.bincount(test.labels).tolist() == [0] * 6 + [3] * 2
    for split in (train, test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert (image == 10 * int(names[label][1:])).all()


def test_stored_pictures_are_those_in_memory(people):
    kept = load("identities", dir=str(people), image_size=(8,))
    stored = load("identities", dir=str(people), image_size=(8,), in_memory=False)
    assert stored.unseen == kept.unseen
    rng = np.random.default_rng(0)
    for role, split in kept.splits.items():
        for i in range(len(split)):
            # Not even the pictures to train on are cropped.
            example = stored.splits[role].example(i, rng)
            assert example["label"] == split.labels[i]
            np.testing.assert_array_equal(example["image"], split.images[i])
    assert describe("identities", dir=str(people)).classes == kept.classes


@pytest.mark.parametrize(("wanted", "found"), [(3, 3), (2, 2), (0.5, 4), (0.01, 2)])
def test_how_many_are_tested(people, wanted, found):
    dataset = load("identities", dir=str(people), test_identities=wanted)
    assert len(dataset.unseen) == found and len(dataset.classes) == 8 - found


def test_another_person_moves_at_most_one_other():
    pictures = [(f"p{i}", f"p{i}/{j}.png") for i in range(50) for j in range(2)]

    def tested(among):
        return {name for name, _ in identities.split(among, 10)[1]}

    all_of_them = tested(pictures)
    for left_out in range(50):
        rest = [pair for pair in pictures if pair[0] != f"p{left_out}"]
        assert len(all_of_them - {f"p{left_out}"} - tested(rest)) == 0
        assert len(tested(rest)) == 10
    assert (
        identities.split(pictures[::-1], 10)[1]
        == identities.split(pictures, 10)[1][::-1]
    )


def test_split_folders(tmp_path, write):
    for split, names in (("train", "ab"), ("test", "cde")):
        for name in names:
            for i in range(2):
                write(tmp_path / split / name / f"{i}.png")
    dataset = load("identities", dir=str(tmp_path), image_size=(8,))
    assert dataset.classes == ("a", "b") and dataset.unseen == ("c", "d", "e")
    assert dataset.splits["test"].labels.tolist() == [2, 2, 3, 3, 4, 4]
    write(tmp_path / "train" / "d" / "0.png")
    with pytest.raises(UserError, match="'d' is in the training and in the test"):
        load("identities", dir=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_identities": 7}, "=7 does not fit the 8 identities: the training"),
        ({"test_identities": 0}, "test_identities=0 must be at least 2"),
        ({"test_identities": 1}, "test_identities=1 must be at least 2"),
        ({"test_identities": 0.9}, r"test_identities=0\.9 does not fit the 8"),
        ({"test_identities": 1.0}, r"test_identities=1\.0 must be .* below 1"),
        ({"image_size": (0,)}, "image_size="),
        ({"test_examples": 0}, "test_examples=0"),
        ({"test_fraction": 0.5}, "option of data set 'identities' 'test_fraction'"),
    ],
)
def test_mistakes_are_one_line(people, options, message):
    with pytest.raises(UserError, match=message):
        load("identities", dir=str(people), **options)


def test_one_picture_each_is_nothing_to_compare(tmp_path, write):
    for name in "abcd":
        write(tmp_path / name / "0.png")
    with pytest.raises(
        UserError, match=r"no identity in the test split .* two pictures"
    ):
        load("identities", dir=str(tmp_path))


def test_one_person_is_nobody_to_tell_apart_from(tmp_path, write):
    for name, count in (("train/a", 2), ("train/b", 2), ("test/c", 10), ("test/d", 1)):
        for i in range(count):
            write(tmp_path / name / f"{i}.png")
    assert len(load("identities", dir=str(tmp_path)).splits["test"].labels) == 11
    with pytest.raises(UserError, match="pictures of only one identity"):
        load("identities", dir=str(tmp_path), test_examples=3)


def test_faces(shared_data):
    """ORL: 40 people of ten pictures."""
    folder = Path(shared_data) / "orl_faces"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    dataset = load("identities", dir=str(folder), channels=1, image_size=(32,))
    assert len(dataset.classes) == 30 and len(dataset.unseen) == 10
    labels = {role: split.labels for role, split in dataset.splits.items()}
    assert np.bincount(labels["train"]).tolist() == [10] * 30
    assert np.bincount(labels["test"])[30:].tolist() == [10] * 10


def test_the_digits_stand_in_for_people():
    dataset = load("identities", image_size=(8,), channels=1, test_identities=4)
    assert len(dataset.classes) == 6 and len(dataset.unseen) == 4
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert len(train) + len(test) == 1797
    assert set(train.labels) == set(range(6)) and set(test.labels) == set(range(6, 10))
    # A label is that of its digit, whatever split this comes from elsewhere.
    digits = load("digits")
    pool = np.concatenate([split.images for split in digits.splits.values()])
    known = np.concatenate([split.labels for split in digits.splits.values()])
    by_picture = {p.tobytes(): int(k) for p, k in zip(pool, known, strict=True)}
    names = [*dataset.classes, *dataset.unseen]
    for split in (train, test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert names[label] == str(by_picture[image.tobytes()])
    with pytest.raises(UserError, match="test_identities=9"):
        load("identities", test_identities=9)
