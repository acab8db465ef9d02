"""Each kind of convolution is the same layer in every library."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from cnn_jax.benchmarks import convolutions, measure, timing
from cnn_jax.benchmarks.convolutions import Kind
from cnn_jax.layers import arithmetic


@pytest.mark.parametrize("kind", convolutions.KINDS, ids=lambda kind: kind.name)
def test_ours_and_the_other_layer_are_the_same(kind):
    x = jnp.zeros(kind.shape)
    results = [
        jax.eval_shape(kind.flax(ours).init_with_output, jax.random.key(0), x)
        for ours in (True, False)
    ]
    assert jax.tree.map(jnp.shape, results[0]) == jax.tree.map(jnp.shape, results[1])


@pytest.mark.parametrize("kind", convolutions.KINDS, ids=lambda kind: kind.name)
def test_pytorchs_layer_has_as_large_an_output(kind):
    """The output size follows the formulas of PyTorch's documentation."""
    made = []

    def layer(name):
        return lambda *sizes, **options: made.append((name, sizes, options))

    rank = len(kind.size)
    names = [f"{prefix}{rank}d" for prefix in ("Conv", "ConvTranspose")]
    torch = SimpleNamespace(nn=SimpleNamespace(**{n: layer(n) for n in names}))
    kind.torch(torch)
    ((name, (channels, features, window), options),) = made
    assert (channels, features) == (kind.channels, kind.channels)
    assert name.startswith("ConvTranspose") == kind.transposed
    assert options["groups"] == kind.groups
    size, extra = kind.size[0], options.pop("output_padding", 0)
    stride, padding, dilation = (
        options[key] for key in ("stride", "padding", "dilation")
    )
    if kind.transposed:
        found = (size - 1) * stride - 2 * padding + dilation * (window - 1) + extra + 1
    else:
        found = arithmetic.output_size(
            size, window, stride=stride, padding=padding, dilation=dilation
        )
    shapes = jax.eval_shape(
        kind.flax(True).init_with_output, jax.random.key(0), jnp.zeros(kind.shape)
    )
    expected = size * stride if kind.transposed else size // stride
    assert shapes[0].shape[1] == found == expected


def test_every_kind_is_timed_in_turns(monkeypatch):
    small = Kind("groups", size=(4, 4), batch_size=2, channels=4, groups=2)
    monkeypatch.setattr(convolutions, "KINDS", (small,))
    monkeypatch.setattr(convolutions, "_torch", lambda: None)
    seen = []

    def alternate(runs, **options):
        seen.append((len(runs), options["repeats"]))
        for run in runs:
            run(1)
        return [timing.Timing((0.002 * (i + 1),)) for i, _ in enumerate(runs)]

    monkeypatch.setattr(timing, "alternate", alternate)
    rows = list(convolutions.rows(measure.Protocol(repeats=7, warmup=1)))
    assert seen == [(2, 7)] * 2 and [row["mode"] for row in rows] == ["train", "infer"]
    for row in rows:
        assert row["kind"] == "groups" and row["input_shape"] == [2, 4, 4, 4]
        assert row["step_ms"] == {"cnn_jax": 2.0, "flax": 4.0, "torch": None}


def test_a_table_with_ratios():
    rows = [
        {"kind": "3x3", "input_shape": [1, 8, 8, 4], "mode": "train"}
        | {"step_ms": {"cnn_jax": 2.0, "flax": 8.0, "torch": 1.0}},
        {"kind": "1x1", "input_shape": [1, 8, 8, 4], "mode": "infer"}
        | {"step_ms": {"cnn_jax": 2.0, "flax": 3.0, "torch": None}},
    ]
    _, _, first, second = convolutions.markdown(rows).splitlines()
    cells = [
        [c.strip() for c in line.strip("|").split("|")] for line in (first, second)
    ]
    assert cells == [
        ["3x3", "1x8x8x4", "train", "2.00", "8.00", "1.00", "0.25", "2.00"],
        ["1x1", "1x8x8x4", "infer", "2.00", "3.00", "", "0.67", ""],
    ]
