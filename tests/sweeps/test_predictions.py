"""The predictions that a run keeps for the test split."""

import numpy as np
import pytest

from cnn_jax.core.records import Damaged
from cnn_jax.sweeps import predictions
from tests.sweeps.conftest import keep


def test_examples_are_sorted_by_identity(tmp_path):
    keep(
        tmp_path,
        [],
        identity=np.array(["c/2.png", "a/1.png", "b/é.png"]),
        index=np.array([0, 1, 2], np.int32),
        label=np.array([2, 0, 1], np.int32),
        prediction=np.array([2, 1, 1], np.int32),
    )
    found = predictions.read(tmp_path)
    assert found.index.tolist() == [1, 2, 0]
    assert found.label.tolist() == [0, 1, 2]
    assert found.correct.tolist() == [False, True, True]
    assert found.agrees(float(np.float32(2 / 3))) and not found.agrees(1 / 3)


def test_equal_examples_have_equal_hashes(tmp_path):
    hashes = []
    for number, names in enumerate((["a", "b"], ["b", "a"], ["a", "c"])):
        keep(tmp_path / str(number), [True, False], identity=np.array(names))
        hashes.append(predictions.read(tmp_path / str(number)).examples)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_run_without_predictions(tmp_path):
    assert predictions.read(tmp_path) is None


def test_predicted_numbers_are_no_predicted_classes(tmp_path):
    path = keep(tmp_path, [True, False])
    with np.load(path) as file:
        identity = file["identity"]
    np.savez(path, identity=identity, prediction_angle=np.zeros(2, np.float32))
    assert predictions.read(tmp_path) is None


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"label": np.zeros(2)}, r"'label' has the type float64\[2\]"),
        ({"label": np.zeros((2, 1), int)}, "'label' has the type"),
        ({"label": np.zeros(3, int)}, "differ in length"),
        ({"identity": np.array([{}, {}])}, "damaged"),  # would run code if unpickled
    ],
)
def test_arrays_that_no_run_has_written(tmp_path, arrays, said):
    keep(tmp_path, [True, False], **arrays)
    with pytest.raises(Damaged, match=said):
        predictions.read(tmp_path)


@pytest.mark.parametrize("spoil", [lambda b: b[:-30], lambda b: b"", lambda b: b[::-1]])
def test_a_damaged_file(tmp_path, spoil):
    path = keep(tmp_path, [True, False])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(Damaged, match="is damaged"):
        predictions.read(tmp_path)


def test_any_changed_byte_is_harmless_or_noticed(tmp_path):
    path = keep(tmp_path, [True, False] * 8)
    content, expected = path.read_bytes(), predictions.read(tmp_path).correct.tolist()
    noticed = 0
    for place in range(0, len(content), 9):
        changed = bytearray(content)
        changed[place] ^= 0x81
        path.write_bytes(changed)
        try:
            assert predictions.read(tmp_path).correct.tolist() == expected
        except Damaged:
            noticed += 1
    assert noticed > 50


def test_an_array_is_missing(tmp_path):
    path = tmp_path / predictions.FILE
    path.parent.mkdir()
    np.savez(path, identity=np.array(["a"]))
    with pytest.raises(Damaged, match="index"):
        predictions.read(tmp_path)


def test_no_examples(tmp_path):
    keep(tmp_path, [], identity=np.array([], "U1"))
    with pytest.raises(Damaged, match="empty"):
        predictions.read(tmp_path)
