"""Pictures that are listed in a CSV file."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data.csv_file import SOURCE, load
from cnn_jax.data.source import BANDED_FILES
from cnn_jax.data.splits import Arrays, Records


@pytest.fixture
def table(tmp_path, write):
    """Six black cats and four white dogs, in the order of the table."""
    rows = []
    for i in range(10):
        name, value = ("cat", 0) if i < 6 else ("dog", 255)
        write(tmp_path / "pictures" / f"{i}.png", value=value)
        rows.append(f"pictures/{i}.png,{name}")
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["path,label", *rows, ""]))
    return file


def names_of(split):
    return {path.rpartition("/")[2] for path in split.reader.paths}


def test_a_stratified_split(table):
    made = data.load("csv", file=str(table), image_size=8, channels=1)
    assert made.classes == ("cat", "dog") and made.image_shape == (8, 8, 1)
    train, test = made.splits["train"], made.splits["test"]
    assert isinstance(train, Arrays)
    assert np.bincount(train.labels).tolist() == [5, 3]
    assert np.bincount(test.labels).tolist() == [1, 1]
    for split in (train, test):
        assert (split.images == 255 * split.labels[:, None, None, None]).all()


def test_the_split_does_not_depend_on_the_order(table):
    options = {"image_size": 8, "in_memory": False}
    first = data.load("csv", file=str(table), **options).splits
    header, *rows = table.read_text().split()
    table.write_text("\n".join([header, *rows[::-1]]))
    second = data.load("csv", file=str(table), **options).splits
    for role in ("train", "test"):
        assert isinstance(first[role], Records)
        assert names_of(first[role]) == names_of(second[role])


def test_identities_are_paths_of_the_table(table):
    for in_memory in (True, False):
        made = data.load("csv", file=str(table), image_size=8, in_memory=in_memory)
        train, test = made.identities("train"), made.identities("test")
        assert {*train, *test} == {f"pictures/{i}.png" for i in range(10)}
        cats = [int(name[9]) < 6 for name in test]
        assert cats == [label == 0 for label in made.splits["test"].known_labels()]


def test_streamed_pictures_are_those_in_memory(table):
    made, streamed = (
        data.load("csv", file=str(table), image_size=8, in_memory=in_memory)
        for in_memory in (True, False)
    )
    kept = made.splits["train"]
    examples = list(
        streamed.splits["train"].examples(range(len(kept)), [None] * len(kept))
    )
    for i, example in enumerate(examples):
        assert example["label"] == kept.labels[i]
    few = data.load("csv", file=str(table), image_size=8, train_examples=0.5)
    assert len(few.splits["train"]) == 4


@pytest.mark.parametrize("tested", ["test", "val"])
def test_a_split_column_and_other_names(table, tested):
    lines = table.read_text().split()
    lines[0] = "﻿file , kind,part"
    lines[1:] = [
        f'"{line.partition(",")[0]}", {line.partition(",")[2]} ,{part}'
        for line, part in zip(lines[1:], ["train", tested] * 5, strict=True)
    ]
    table.write_text("\r\n".join(lines), encoding="utf-8")
    made = data.load(
        "csv",
        file=str(table),
        path_column="file",
        label_column="kind",
        split_column="part",
        test_split=(tested,),
        image_size=8,
        in_memory=False,
    )
    assert names_of(made.splits["test"]) == {f"{i}.png" for i in (1, 3, 5, 7, 9)}
    known = data.describe(
        "csv",
        file=str(table),
        path_column="file",
        test_split=(tested,),
        **{"label_column": "kind", "split_column": "part", "image_size": 8},
    )
    assert known.classes == made.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, {"file": ""}, r"data\.file is not set"),
        (None, {"file": "none.csv"}, r"none\.csv cannot be read"),
        (
            None,
            {"label_column": "kind"},
            r"no column 'kind'; .* Set data\.label_column to",
        ),
        ("path,path,label\n", {}, "two columns 'path'"),
        ("", {}, "has no column 'path'"),
        ("path,label\n", {}, "lists no pictures"),
        ("path,label\npictures/0.png\n", {}, "line 2: the column 'label' is empty"),
        ("path,label\n,cat\n", {}, "line 2: the column 'path' is empty"),
        (
            "path,label\npictures/0.png,a\n\nx.png,b\n",
            {},
            r"line 4: .* no picture .*x",
        ),
        ('path,label\n"pictures/0.png"x,a\n', {}, "line 2 is not valid CSV: ',' exp"),
        (
            "path,label\npictures/0.png,a\npictures/../pictures/0.png,b\n",
            {},
            "line 3: .* is the same file as in .*, line 2: remove",
        ),
        ("path,label\npictures/0.png,a\npictures/1.png,a\n", {}, "one class, 'a'"),
        (
            "path,label\npictures/0.png,a\npictures/1.png,b\n",
            {},
            "no class has two or more pictures",
        ),
        (
            "path,label,s\npictures/0.png,a,train\npictures/1.png,b,tset\n",
            {"split_column": "s"},
            "line 3: the split is 'tset'; it must be 'train', 'val' or 'test'",
        ),
        (
            "path,label,s\npictures/0.png,a,train\npictures/1.png,b,test\n",
            {"split_column": "s"},
            "line 3: class 'b' has no pictures to train on",
        ),
        (
            "path,label,s\npictures/0.png,a,test\npictures/1.png,b,test\n",
            {"split_column": "s"},
            "the pictures have only the splits 'test'; some",
        ),
    ],
)
def test_mistakes(table, text, options, message):
    if text is not None:
        table.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        load(**{"file": str(table)} | options)
    assert "\n" not in str(error.value)


def test_a_table_in_another_encoding(table):
    table.write_bytes("path,label\nx,café\n".encode("latin-1"))
    with pytest.raises(UserError, match="is not text in UTF-8"):
        load(file=str(table))


def test_pictures_are_predicted():
    assert SOURCE.files is BANDED_FILES and SOURCE.places() == {"file"}
