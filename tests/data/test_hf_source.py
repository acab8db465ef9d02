"""Data sets of Hugging Face."""

import importlib.util
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data.loading import eval_batches, train_batches


def test_the_extra_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "datasets" else found(n)
    )
    with pytest.raises(UserError, match=r"pip install 'cnn_jax\[hf\]'"):
        data.load("hf:cifar10")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of `save_to_disk`: dark and light pictures of several sizes."""
    datasets = pytest.importorskip("datasets", reason="the source hf needs datasets")

    def split(count):
        rows = range(count)
        columns = {
            "image": [Image.new("RGB", (9 + i, 8), (200 * (i % 2),) * 3) for i in rows],
            "label": [i % 2 for i in rows],
            "kind": [("dark", "light")[i % 2] for i in rows],
            "level": [200 * (i % 2) for i in rows],
        }
        features = datasets.Features(
            image=datasets.Image(),
            label=datasets.ClassLabel(names=["night", "day"]),
            kind=datasets.Value("string"),
            level=datasets.Value("int32"),
        )
        return datasets.Dataset.from_dict(columns, features=features)

    folder = tmp_path_factory.mktemp("hf") / "set"
    counts = {"train": 8, "validation": 2, "test": 4}
    splits = {name: split(count) for name, count in counts.items()}
    datasets.DatasetDict(splits).save_to_disk(folder)
    return f"hf:{folder}"


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_set_on_the_disk(saved, in_memory):
    dataset = data.load(saved, image_size=6, in_memory=in_memory)
    assert dataset.classes == ("night", "day") and dataset.image_shape == (6, 6, 3)
    counts = {role: len(split) for role, split in dataset.splits.items()}
    assert counts == {"train": 8, "val": 2, "test": 4}
    assert tuple(dataset.mean) == pytest.approx((100 / 255,) * 3)
    steps = {"batch_size": 8, "seed": 0, "start_step": 0, "stop_step": 1}
    batches = [
        *train_batches(dataset.splits["train"], **steps),
        *eval_batches(dataset.splits["test"], batch_size=4),
    ]
    for batch in batches:
        expected = np.broadcast_to(200 * batch["label"], (6, 6, 3, len(batch["label"])))
        np.testing.assert_array_equal(np.moveaxis(batch["image"], 0, -1), expected)
    assert len(pickle.dumps(dataset.splits["train"])) < 20_000 or in_memory


@pytest.mark.parametrize(
    ("column", "classes"), [("kind", ("dark", "light")), ("level", ("0", "200"))]
)
def test_classes_of_texts_and_numbers(saved, column, classes):
    made = data.load(saved, image_size=4, label_column=column, fold="1/2")
    assert made.classes == classes
    assert [len(made.splits[role]) for role in ("train", "val")] == [5, 5]
    for split in made.splits.values():
        means = split.images.mean((1, 2, 3))
        np.testing.assert_array_equal(means, 200 * split.labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_split": "tset"}, "unknown split of hf:.* 'tset'.*Did you mean 'test'"),
        ({"label_column": "tag"}, "unknown column of hf:.* 'tag'"),
        ({"image_column": "kind"}, "the column of hf:.* has no pictures"),
    ],
)
def test_mistakes_are_one_line(saved, options, message):
    with pytest.raises(UserError, match=message):
        data.load(saved, **options)


def test_labels_and_columns_that_do_not_fit(saved, tmp_path):
    datasets = pytest.importorskip("datasets")
    whole = datasets.load_from_disk(saved.removeprefix("hf:"))
    cases = {
        "single split": whole["train"],
        "has 0 columns of the type ClassLabel": whole.remove_columns("label"),
        "label is 'light', which is not a class": datasets.DatasetDict(
            train=whole["train"].select([0, 2]), test=whole["test"]
        ),
    }
    for number, (message, made) in enumerate(cases.items()):
        made.save_to_disk(tmp_path / str(number))
        options = {"label_column": "kind"} if "light" in message else {}
        with pytest.raises(UserError, match=message):
            data.load(f"hf:{tmp_path / str(number)}", **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty cannot be loaded: .* Check the name"):
        data.load(f"hf:{tmp_path / 'empty'}")
