"""The suite writes its pages, and how things grow is computed from what is measured."""

import json

import jax
import jax.numpy as jnp
import pytest

from cnn_jax.benchmarks import convolutions, growth, measure, suite

QUICK = measure.Protocol(repeats=1, warmup=1)


@pytest.fixture
def small(monkeypatch):
    """A suite of two small networks, one convolution, and few points of growth."""
    residual = suite.cifar("resnet20", 2, width=4, stage_sizes=(1,))
    monkeypatch.setattr(suite, "CPU", (residual, suite.cifar("nin", 2)))
    monkeypatch.setattr(suite, "installed", lambda: ["flax_example"])
    grouped = convolutions.Kind("groups", size=(4, 4), channels=4, groups=2)
    monkeypatch.setattr(convolutions, "KINDS", (grouped,))
    monkeypatch.setattr(convolutions, "_torch", lambda: None)
    monkeypatch.setattr(
        growth, "AXES", {"batch size": ((1, 2), lambda n: residual.at(n))}
    )
    monkeypatch.setattr(growth, "EXAMPLES", (200, 300))


@pytest.mark.full
def test_pages(small, tmp_path, capsys):
    suite.write(tmp_path / "docs", QUICK)
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    content = json.loads((tmp_path / "docs" / "benchmarks.json").read_text())
    assert (tmp_path / "docs" / "growth.png").stat().st_size > 10_000
    assert content["device"]["platform"] == "cpu"
    found = [
        (row["model"], row["mode"], row["batch_size"], row["peer"])
        for row in content["results"]
    ]
    assert found == [
        ("resnet20", "train", 2, "flax_example"),
        ("resnet20", "infer", 2, "flax_example"),
        ("nin", "train", 2, None),
        ("nin", "infer", 2, None),
    ]
    assert [(row["axis"], row["value"]) for row in content["growth"]] == [
        ("batch size", 1),
        ("batch size", 2),
        ("examples", 200),
        ("examples", 300),
    ]
    for row in content["convolutions"]:
        assert row["kind"] == "groups" and row["input_shape"] == [32, 4, 4, 4]
        assert row["step_ms"]["torch"] is None
        assert f"{row['step_ms']['cnn_jax']:.2f}" in page
    assert [row["mode"] for row in content["convolutions"]] == ["train", "infer"]
    assert content["input"] == [] and "## Input" not in page
    for row in content["results"]:
        assert f"{row['step_ms']:.2f}" in page
    assert content["device"]["processor"] in page and "growth.png" in page
    assert "has residual networks, and no nin" in capsys.readouterr().err


@pytest.mark.parametrize("networks", [suite.CPU, suite.ACCELERATOR])
def test_requests_resolve(networks):
    for request in networks:
        assert request.resolve().model.name == request.model


@pytest.mark.parametrize("kind", convolutions.KINDS, ids=lambda kind: kind.name)
def test_ours_and_the_other_layer_are_the_same(kind):
    x = jnp.zeros(kind.shape)
    results = [
        jax.eval_shape(kind.flax(ours).init_with_output, jax.random.key(0), x)
        for ours in (True, False)
    ]
    assert jax.tree.map(jnp.shape, results[0]) == jax.tree.map(jnp.shape, results[1])


def test_exponent():
    assert growth.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert growth.exponent([1, 2, 4], [5, 5, 5]) == pytest.approx(0)


def test_axes_change_one_thing():
    sizes = {
        axis: [
            (r.model, r.input_shape, r.overrides["data.batch_size"])
            for r in map(request_of, values)
        ]
        for axis, (values, request_of) in growth.AXES.items()
    }
    for axis, found in sizes.items():
        changed = [len(set(column)) for column in zip(*found, strict=True)]
        assert sorted(changed) == [1, 1, len(found)], axis


@pytest.mark.full
def test_sweep(monkeypatch):
    request = suite.cifar("resnet20", 4, width=4, stage_sizes=(1,))
    results, found = measure.sweep(request, QUICK, 4)
    assert [row["batch_size"] for row in results] == [1, 1, 2, 2, 4, 4]
    assert found["largest"] == 4 and found["does_not_fit"] is None
    for mode, best in found["best"].items():
        speeds = {
            row["batch_size"]: row["images_per_second"]
            for row in results
            if row["mode"] == mode
        }
        assert best == max(speeds, key=speeds.get)
    # A machine with memory for two images.
    needed = {
        row["batch_size"]: row["peak_memory_bytes"]
        for row in results
        if row["mode"] == "train"
    }
    limit = (needed[2] + needed[4]) // 2
    monkeypatch.setattr(measure, "_available_bytes", lambda: limit)
    _, found = measure.sweep(request, QUICK, 2**20)
    assert (found["largest"], found["does_not_fit"]) == (2, 4)
    with pytest.raises(measure.DoesNotFit, match="a batch of 8 does not fit"):
        measure.report([request.at(8)], QUICK)
