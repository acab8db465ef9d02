"""The output of commands about a run."""

import json

from cnn_jax.runs import console


def test_numbers_in_a_table():
    text = console.as_table(
        {"steps": 1234567, "loss": 0.123456, "hash": "abc", "peak": None, "big": 1e4}
    )
    assert [line.split() for line in text.splitlines()] == [
        ["steps", "1,234,567"],
        ["loss", "0.1235"],
        ["big", "10,000.0000"],
    ]


def test_a_result_with_a_table(capsys):
    """The name of a class stays as it is, even if it is a number."""
    table = [{"class": name, "examples": 1200, "f1": 0.5} for name in ("1e3", "b")]
    console.show({"step": 3}, "table", {"test/classes": table})
    first, empty, name, head, _, *rows = capsys.readouterr().out.splitlines()
    assert (first.split(), empty, name) == (["step", "3"], "", "test/classes")
    assert head.split() == ["class", "examples", "f1"]
    assert [row.split() for row in rows] == [
        ["1e3", "1,200", "0.5000"],
        ["b", "1,200", "0.5000"],
    ]
    console.show({"step": 3}, "json", {"test/classes": table})
    found = json.loads(capsys.readouterr().out)
    assert found == {"step": 3, "test/classes": table}
