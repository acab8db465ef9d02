"""What commands print about a run."""

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
