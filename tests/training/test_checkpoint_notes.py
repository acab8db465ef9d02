"""The notes beside a checkpoint's state."""

import json

import pytest

from cnn_jax.core.records import Damaged
from cnn_jax.training import checkpoint_notes


@pytest.fixture
def step(tmp_path):
    (tmp_path / checkpoint_notes.FILE).parent.mkdir()
    return tmp_path


def write(step, content):
    (step / checkpoint_notes.FILE).write_text(json.dumps(content))


def test_notes_come_back(step):
    write(
        step,
        checkpoint_notes.sealed({"seconds": 1.5}, {"params/a": 7}, {"test/loss": 0.1}),
    )
    assert checkpoint_notes.read(step) == (
        {"seconds": 1.5},
        {"params/a": 7},
        {"test/loss": 0.1},
    )
    write(step, checkpoint_notes.sealed({}, {}, {}))
    assert checkpoint_notes.read(step).scores == {}


def test_notes_of_old_versions_have_no_scores(step):
    write(step, {"seconds": 1.5, "checksums": {}})
    assert checkpoint_notes.read(step) == ({"seconds": 1.5}, {}, None)


@pytest.mark.parametrize("key", ["checksum", "scores", "checksums", "seconds"])
def test_a_key_that_is_gone(key, step):
    content = checkpoint_notes.sealed({"seconds": 1.5}, {"a": 1}, {"b": 2.0})
    content.pop(key)
    write(step, content)
    with pytest.raises(Damaged, match="metadata is damaged"):
        checkpoint_notes.read(step)


@pytest.mark.parametrize("content", [None, 3, [], "text", {}, {"checksums": 3}])
def test_what_is_not_notes(content, step):
    write(step, content)
    with pytest.raises(Damaged):
        checkpoint_notes.read(step)


def test_no_notes(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint_notes.read(tmp_path)
