"""Tables of texts."""

from cnn_jax.sweeps.text_table import aligned


def test_texts_are_aligned_and_unchanged():
    lines = [["a", "b", "1.50"], ["long", "x", "10"]]
    assert aligned(lines, ["arm", "to", "p"], "github", left=2).splitlines() == [
        "| arm   | to   |    p |",
        "|-------|------|------|",
        "| a     | b    | 1.50 |",
        "| long  | x    |   10 |",
    ]
