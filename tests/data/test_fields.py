"""Checks of values by themselves."""

import json
import math
import os

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import fields


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (fields.NUMBER, [0, -1.5, 10**300], [True, "1", math.nan, math.inf, 10**400]),
        (fields.SIDE, [1, 20.0, 10**6], [0, 1.5, True, 10**6 + 1, -1, None, "20"]),
        (fields.ID, [0, -1, 3.0, "a"], [1.5, True, "", " ", None, [1], math.nan]),
        (
            fields.TEXT,
            ["a", "a b", "\xe9", "猫"],
            ["", " ", "a\n", "\x7f", "\ud800", 1],
        ),
        (fields.FILE, ["a.jpg", "a/b.jpg", "..a"], ["/a", "../a", "a/../b", "", 3]),
        (fields.BOX, [[0, 1, 2, 3.5]], [[0, 1, 2], [0, 1, 2, -3], "0123", None]),
        (fields.FLAG, [0, 1, True, 0.0], [2, "0", None, 0.5]),
        (fields.LIST, [[], [1]], [{}, "ab", None]),
        (fields.FILLED_LIST, [[1]], [[], {}, "ab"]),
    ],
)
def test_kinds(kind, good, bad):
    assert all(kind.accepts(value) for value in good)
    assert not any(kind.accepts(value) for value in bad)


def test_checked():
    kinds = {"a": fields.SIDE, "b": fields.TEXT._replace(optional=True)}
    entry = {"a": 3, "other": None}
    assert fields.checked(entry, kinds, "x") is entry
    for wrong, message in {
        (): r"x is \(\); it must be an object with a, b\.",
        (("b", "c"),): r"x has no a: add a\.",
        (("a", 0),): "x: a is 0; it must be a whole number of pixels from 1 to 1000000",
        (("a", 1), ("b", 5)): "x: b is 5; it must be a text without control",
    }.items():
        with pytest.raises(UserError, match=message):
            fields.checked(dict(wrong) if wrong else wrong, kinds, "x")


def test_errors_are_short():
    for value in ("a" * 9999, [[[[[]]]]] * 50, 10**4000, {"a": "\n" * 999}):
        shown = fields.shown(value)
        assert len(shown) < 100 and "\n" not in shown


def test_values_that_must_be_new():
    seen = {}
    fields.check_new(1, seen, "id", "set: 1.json: images[0]")
    fields.check_new("1", seen, "id", "set: 1.json: images[1]")
    with pytest.raises(UserError, match=r"images\[2\]: id is 1, but images\[0\] has"):
        fields.check_new(1, seen, "id", "set: 1.json: images[2]")


def test_files_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # reading it would wait for ever
    with pytest.raises(UserError, match="fifo is a pipe, a socket or a device"):
        fields.read(tmp_path / "fifo")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        fields.read(tmp_path)
    with pytest.raises(UserError, match="none cannot be read: No such file"):
        fields.read(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be read: File name too long"):
        fields.read(tmp_path / ("a" * 300))
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps({"a": [1, {"b": None}]}).encode("utf-16"))
    assert fields.read_json(path) == {"a": [1, {"b": None}]}
