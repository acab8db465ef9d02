"""Pictures of the test examples that two arms classify most differently."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.sweeps.reports import disagreements
from cnn_jax.sweeps.reports.summary import summarize
from cnn_jax.tasks import pictures
from cnn_jax.training.config import Config
from tests.sweeps.conftest import keep

# Two seeds and 6 examples: both seeds of the arm miss example 4, one misses example 2.
RIGHT = np.ones((2, 6), bool)
ARM = RIGHT.copy()
ARM[:, 4] = ARM[1, 2] = False


@pytest.fixture
def rows_of(make_kept):
    """Predictions of two arms, of which one arm is below the base arm twice."""

    def made(arm=ARM):
        found, rows = make_kept(
            {"base": list(RIGHT), "wider, by half": list(RIGHT), "diverges": list(arm)}
        )
        return found, rows, summarize(found, rows)

    return made


@pytest.fixture
def loaded(monkeypatch):
    """Replaces the data by six images of one pixel; lists how they were loaded."""
    calls = []

    def load(name, **options):
        calls.append((name, options))
        images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
        split = Arrays(images, np.zeros(6, np.int32))
        return Dataset({"test": split}, ("zero",), (1, 1, 1), mean=(0.0,), std=(1.0,))

    monkeypatch.setattr(data, "load", load)
    return calls


def test_the_examples_with_the_largest_difference(rows_of):
    _, rows, summaries = rows_of()
    (one,) = disagreements.find(rows, summaries)  # equal arms do not disagree
    assert (one.arm, one.base, one.seeds) == ("diverges", "base", 2)
    assert one.size == pytest.approx(3 / 12)
    assert one.index.tolist() == [4, 2]
    assert one.right.tolist() == [0, 1] and one.base_right.tolist() == [2, 2]


def test_at_most_sixteen_examples(make_kept):
    found, rows = make_kept(
        {"base": [np.ones(20, bool)] * 2, "diverges": [np.zeros(20, bool)] * 2}
    )
    (one,) = disagreements.find(rows, summarize(found, rows))
    assert len(one.index) == disagreements.MOST_EXAMPLES


def test_the_pictures_are_labeled(rows_of, loaded, tmp_path, monkeypatch):
    drawn = []

    def labeled_grid(images, labels, cell):
        drawn.append(([int(image.item()) for image in images], labels))
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(pictures, "labeled_grid", labeled_grid)
    _, *paragraphs = disagreements.write(*rows_of(), tmp_path)
    labels = ["zero: diverges 0/2, base 2/2", "zero: diverges 1/2, base 2/2"]
    assert drawn == [([4, 2], labels)]
    assert paragraphs == [
        "diverges (first number) and base (second number):\n\n"
        "![test examples: diverges, base](disagreements/diverges.png)"
    ]
    assert Image.open(tmp_path / "disagreements" / "diverges.png").size == (2, 2)
    assert [name for name, _ in loaded] == ["digits"]  # once for all arms of a base


def test_long_names_are_left_out_below_the_pictures(rows_of):
    _, rows, summaries = rows_of()
    (one,) = disagreements.find(rows, summaries)
    one = dataclasses.replace(one, arm="strided convolution")
    assert disagreements._labels(one, ("7",)) == ["7: 0/2, 2/2", "7: 1/2, 2/2"]


def test_the_path_of_a_name_with_spaces(tmp_path):
    picture = np.zeros((1, 1, 3), np.uint8)
    found = disagreements._saved(picture, tmp_path, "5%, (head)")
    assert found == "disagreements/5%25%2C%20%28head%29.png"
    assert (tmp_path / "disagreements" / "5%, (head).png").is_file()


def test_data_on_the_disk_are_not_read_into_memory(loaded, monkeypatch):
    config = Config({"data": {"name": "folder"}})
    monkeypatch.setattr(
        disagreements.setup, "data_options", lambda _: {"dir": "d", "in_memory": None}
    )
    disagreements._loaded(config)
    assert loaded == [("folder", {"dir": "d", "in_memory": False})]


def test_data_that_cannot_be_loaded(rows_of, tmp_path, monkeypatch):
    def load(name, **options):
        raise UserError("no folder 'pictures'.")

    monkeypatch.setattr(data, "load", load)
    assert disagreements.write(*rows_of(), tmp_path)[1:] == [
        "There are no pictures of the test examples: no folder 'pictures'."
    ]
    assert not (tmp_path / "disagreements").exists()


@pytest.mark.parametrize(
    "changed", [{"index": np.arange(6) + 100}, {"label": np.arange(6)}]
)
def test_data_that_have_changed(rows_of, loaded, tmp_path, changed):
    found, rows, summaries = rows_of()
    rows = [dataclasses.replace(row) for row in rows]  # which have read no file
    label = changed.get("label", np.zeros(6, int))
    keep(found.runs[0].workdir, RIGHT[0], prediction=label, **changed)
    (_, said) = disagreements.write(found, rows, summaries, tmp_path)
    assert said.endswith("split of data.name=digits has changed since the runs.")


def test_arms_without_predictions(make, tmp_path):
    found, rows = make({"base": [0.5, 0.6], "diverges": [0.4, 0.5]})
    assert disagreements.write(found, rows, summarize(found, rows), tmp_path) == []
