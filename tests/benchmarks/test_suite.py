"""The suite writes its pages, and how things grow is computed from what is measured."""

import json

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
    assert "has only residual networks, not nin" in capsys.readouterr().err


@pytest.mark.parametrize("networks", [suite.CPU, suite.ACCELERATOR])
def test_requests_resolve(networks):
    for request in networks:
        assert request.resolve().model.name == request.model
