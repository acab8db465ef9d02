"""The table of the parameters of a run."""

from cnn_jax.training import freezing
from cnn_jax.training.parameter_table import table

SHAPES = {
    ("conv1", "kernel"): (3, 3, 1, 4),
    ("conv1", "bias"): (4,),
    ("conv2", "kernel"): (3, 3, 4, 4),
    ("conv2", "bias"): (4,),
    ("head", "kernel"): (4, 3),
    ("head", "bias"): (3,),
}


def lines(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_the_table():
    plan = freezing.make(
        lambda: list(SHAPES),
        freeze="conv1",
        unfreeze=("head",),
        unfreeze_every=1000,
        groups=("head: weight_decay=0.5, learning_rate_factor=10.0",),
    )
    loaded = {path for path in SHAPES if path[0] == "conv1"}
    rows = table(SHAPES, plan, loaded, 0.1)
    assert "from the file" in rows
    found = lines(rows)
    assert found["conv1"] == ["40", "40", "0", "0"]
    assert found["conv2"] == ["148", "0", "148", "144", "0", "1", "0.1"]
    assert found["head"] == ["15", "0", "15", "12", "1,000", "10", "0.5"]
    assert found["all"] == ["203", "40", "163", "156"]


def test_a_run_without_a_file_or_a_known_weight_decay():
    text = table(SHAPES, None, None, None)
    assert "from the file" not in text and "decay" not in text
    assert lines(text)["conv1"] == ["40", "40", "0", "1"]
    assert lines(table(SHAPES, None, None, 0.0))["conv1"] == ["40", "40", "0", "0", "1"]
