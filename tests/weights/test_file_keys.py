"""Which entries of a file of weights a network takes."""

import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.weights.file_keys import Keys, left_out
from cnn_jax.weights.torch_weights import Entry

MODEL = models.create("plain", num_classes=3, widths=(2,))
STEM = Entry(("params", "conv", "kernel"), "conv.weight", (3, 3, 1, 2))
HEAD = Entry(("params", "head", "kernel"), "fc.weight", (2, 3))
EXTRA = Entry(("params", "extra", "kernel"), "aux.fc.weight", (2, 3))
ENTRIES = [STEM, HEAD, EXTRA]


@pytest.fixture(params=[True, False], ids=["ours", "torchvision"])
def keys(request):
    return Keys(request.param, MODEL, {"extra": "aux"}, ENTRIES)


def shapes(keys, entries):
    return {keys.of(entry): keys.shape_of(entry) for entry in entries}


def left(keys, in_file, entries=ENTRIES, same_head=True, others=None):
    """The indices of the entries that are left out, and the reasons."""
    found = left_out(keys, entries, shapes(keys, in_file), same_head, others)
    return [i for i, e in enumerate(ENTRIES) if found.has(keys.of(e))], found.reasons


def test_the_part_that_an_entry_belongs_to(keys):
    assert [keys.part(keys.of(e)) for e in ENTRIES] == [None, "head", "extra"]
    assert keys.parts(map(keys.of, ENTRIES)) == {"head", "extra"}
    assert keys.last == {keys.of(HEAD)}


def test_a_value_has_the_layout_of_the_network(keys):
    stored = np.arange(6, dtype=np.float16).reshape(keys.shape_of(HEAD))
    value = keys.value_of(HEAD, stored)
    assert value.shape == HEAD.shape and value.dtype == np.float32


def test_heads_are_alike_but_for_the_classes(keys):
    found = shapes(keys, ENTRIES)
    assert keys.heads_alike(ENTRIES, found)
    more = Entry(HEAD.path, HEAD.name, (2, 7))
    assert keys.heads_alike(ENTRIES, found | shapes(keys, [more]))
    wider = Entry(HEAD.path, HEAD.name, (4, 3))
    assert not keys.heads_alike(ENTRIES, found | shapes(keys, [wider]))
    assert not keys.heads_alike([], found)


def test_other_classes(keys):
    found = shapes(keys, ENTRIES)
    more = found | shapes(keys, [Entry(HEAD.path, HEAD.name, (2, 7))])
    said = keys.other_classes(ENTRIES, more, None, None)
    assert said == "7 classes in the file, 3 here"
    assert keys.other_classes(ENTRIES, found, "abc", "abc") is None
    assert "not the network" in keys.other_classes(ENTRIES, found, "abc", "abd")


def test_no_last_layer_or_a_single_number_has_no_other_classes(keys):
    assert keys.other_classes(ENTRIES, shapes(keys, [STEM]), None, None) is None
    assert keys.other_classes(ENTRIES, {keys.of(HEAD): ()}, None, None) is None


def test_all_is_taken(keys):
    assert left(keys, ENTRIES) == ([], [])


def test_a_file_without_a_head(keys):
    assert left(keys, [STEM, EXTRA]) == ([1], ["the head, which is not in the file"])


def test_another_head(keys):
    assert left(keys, ENTRIES, same_head=False) == (
        [1],
        ["the head, which is head=gap here"],
    )


def test_other_classes_leave_out_the_auxiliary_heads_too(keys):
    assert left(keys, ENTRIES, others="7 classes") == (
        [1, 2],
        ["head, extra: 7 classes"],
    )


@pytest.mark.parametrize(
    ("in_file", "in_model", "place"),
    [(ENTRIES, [STEM, HEAD], "network"), ([STEM, HEAD], ENTRIES, "file")],
)
def test_an_auxiliary_head_of_one_of_the_two(keys, in_file, in_model, place):
    assert left(keys, in_file, in_model) == ([2], [f"extra: not in the {place}"])
