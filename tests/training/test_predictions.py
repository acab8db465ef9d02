"""Predictions on every example: their columns, and the files with these columns."""

import csv
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.tasks import Classification, MultiLabel
from cnn_jax.training import predictions

task = Classification(("cat", "dög"))
ROWS = [
    {"label": 1, "class": 1, "probability": np.float32(0.9), "loss": np.float32(0.1)},
    {
        "label": -1,
        "class": 2,
        "probability": np.float32(0.8),
        "loss": np.float32("nan"),
    },
]
NAMES = ["a,b.png", 'c".png']


@pytest.fixture
def found():
    return predictions.columns(task, ROWS, NAMES)


def test_columns(found):
    kinds = {name: column.dtype.kind for name, column in found.items()}
    assert kinds == {
        "identity": "U",
        "index": "i",
        "label": "i",
        "prediction": "i",
        "probability": "f",
        "loss": "f",
    }
    assert found["identity"].tolist() == NAMES and found["index"].tolist() == [0, 1]
    assert found["label"].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        (MultiLabel(("a",)), [{"label": np.zeros(1)}]),
        (task, [{"label": 1}]),  # a user's subclass with other predictions
        (task, []),
    ],
)
def test_a_task_without_predictions(task, rows):
    assert predictions.columns(task, rows, NAMES[: len(rows)]) == {}


def test_the_file_of_a_run(found, tmp_path):
    for _ in range(2):  # a run that was killed may write the file again
        predictions.write(tmp_path, found)
    assert os.listdir(tmp_path / "predictions") == ["test.npz"]
    first = (tmp_path / predictions.FILE).read_bytes()
    with np.load(tmp_path / predictions.FILE) as read:
        assert read.keys() == found.keys()
        for name, column in found.items():
            np.testing.assert_array_equal(read[name], column)
            assert read[name].dtype == column.dtype
    predictions.write(tmp_path, found)
    assert (tmp_path / predictions.FILE).read_bytes() == first


def test_a_full_disk(found, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*test.npz: No space left"):
        predictions.write(tmp_path, found)
    assert os.listdir(tmp_path / "predictions") == []


EXPECTED = [
    {
        "identity": NAMES[0],
        "label": "dög",
        "prediction": "dög",
        "probability": 0.9,
        "loss": 0.1,
    },
    {
        "identity": NAMES[1],
        "label": None,
        "prediction": "output 2",
        "probability": 0.8,
        "loss": None,
    },
]


def test_json_lines(found, tmp_path):
    path = tmp_path / "new folder" / "x.jsonl"
    predictions.write_text(path, found, task)
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == EXPECTED
    assert os.listdir(path.parent) == ["x.jsonl"]


def test_csv(found, tmp_path):
    path = tmp_path / "x.csv"
    predictions.write_text(path, found, task)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = [
        {k: "" if v is None else str(v) for k, v in row.items()} for row in EXPECTED
    ]
    assert rows == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.txt", "suffix .jsonl"),
        ("x", "suffix .jsonl"),
        ("folder.csv", "is a folder"),
        ("known.csv", "exists: choose another name"),
    ],
)
def test_files_that_are_not_written(name, words, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "known.csv").write_text("mine")
    with pytest.raises(UserError, match=words):
        predictions.check_file(tmp_path / name)


def test_files_that_are_written(tmp_path):
    for name in ("x.jsonl", "x.csv", "new/x.csv"):
        predictions.check_file(tmp_path / name)


def test_many_examples_are_little_work(tmp_path):
    """The predictions of ImageNet's 50,000 validation images take about a megabyte."""
    count = 50_000
    column = np.arange(count) % 1000
    chances = (column / 1000).astype(np.float32)
    rows = [
        {"label": a, "class": a, "probability": p, "loss": p}
        for a, p in zip(column, chances, strict=True)
    ]
    names = [f"n{i % 1000:08}/ILSVRC2012_val_{i:08}.JPEG" for i in range(count)]
    found = predictions.columns(task, rows, names)
    predictions.write(tmp_path, found)
    assert Path(tmp_path / predictions.FILE).stat().st_size < 2e6
