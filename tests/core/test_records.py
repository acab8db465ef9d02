"""Small files, read within bounds."""

import math

import pytest

from cnn_jax.core import records
from cnn_jax.core.errors import UserError


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5, null, "\\u00e9"]}')
    assert records.read_json(path) == {"a": [1, 2.5, None, "\xe9"]}
    with pytest.raises(FileNotFoundError):
        records.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 10**6, b"9" * 10**4])
def test_damage_is_one_line_that_names_the_file(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(records.Damaged) as error:
        records.read_json(path)
    assert str(error.value).startswith(f"{path} is damaged (")
    assert "\n" not in str(error.value)


def test_the_bound(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("[" + " " * 98 + "]")
    monkeypatch.setattr(records, "MAX_BYTES", 100)
    assert records.read_json(path) == []
    path.write_text("[" + " " * 99 + "]")
    with pytest.raises(UserError, match="has more than"):
        records.read_json(path)


def test_a_checksum_is_that_of_the_value():
    value = {"a": [1, 2.5, math.inf], "b": {"c": None}}
    assert len(records.checksum(value)) == 8
    same = {"b": {"c": None}, "a": (1, 2.5, math.inf)}
    assert records.checksum(same) == records.checksum(value)
    for other in ({"a": [1, 2.5]}, {"a": [1.0, 2.5, math.inf], "b": {"c": None}}):
        assert records.checksum(other) != records.checksum(value)
