"""The package from Python."""

import json
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

import cnn_jax
from cnn_jax import api
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps.reports import plots


def test_jax_is_imported_as_a_function_is_asked_for():
    code = "import cnn_jax, sys; assert 'jax' not in sys.modules; cnn_jax.create"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(cnn_jax.API) == set(api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = cnn_jax.fit


def test_a_config_from_a_file_and_from_its_values():
    file = cnn_jax.config("configs/mlp.py", {"seed": 3}, smoke=True)
    assert file.seed == 3 and file.train.steps == 4
    values = cnn_jax.config("configs/mlp.py")
    assert cnn_jax.config(ConfigDict(values.to_dict())) == values
    assert cnn_jax.config(values) == values
    with pytest.raises(UserError, match="nothing reads this key"):
        cnn_jax.config("configs/mlp.py", {"model.width": 3})


def test_a_network_by_name():
    model = cnn_jax.create("resnet18", num_classes=3, width=4)
    assert (model.num_classes, model.width) == (3, 4)


def test_training_and_a_prediction(tmp_path):
    results = cnn_jax.train(
        "configs/mlp.py", tmp_path / "run", overrides={"seed": 1}, smoke=True
    )
    assert results["step"] == 4
    assert json.loads((tmp_path / "run" / "results.json").read_text())["step"] == 4
    (answers,) = cnn_jax.load(tmp_path / "run").predict(
        np.zeros((8, 8), np.uint8), top_k=2
    )
    assert len(answers) == 2


def test_a_sweep_of_a_grid(tmp_path, monkeypatch):
    launched = {}
    monkeypatch.setattr(
        api.runner, "launcher", lambda name, **options: launched.update(options)
    )
    monkeypatch.setattr(
        api.runner, "complete", lambda found, *_, **__: api.results.read(found)
    )
    rows = api.sweep(
        "configs/mlp.py",
        tmp_path / "sweep",
        grid={"model.hidden": [(8, 4), (2,)]},
        seeds=[0],
        runs_per_device=4,
    )
    assert launched["runs_per_device"] == 4
    assert [row.run.arm for row in rows] == ["hidden=(8,4)", "hidden=(2,)"]
    assert rows[0].run.config.model.hidden == (8, 4)
    assert [row.outcome.status for row in rows] == ["missing"] * 2


def test_a_comparison(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "write", lambda *_: [])
    (row,) = cnn_jax.compare([str(trained)], tmp_path / "comparison")
    assert row.run.arm == trained.name and row.outcome.status == "done"
    assert "test/accuracy" in (tmp_path / "comparison" / "report.md").read_text()


@pytest.mark.full
def test_two_trainings_in_one_process_equal_two_processes(tmp_path, saved):
    """Nothing that a training leaves behind reaches the next one."""
    train = (
        "cnn_jax.train('configs/mlp.py', {!r}, overrides={{'seed': {}}}, smoke=True)"
    )

    def execute(*places):
        lines = [train.format(str(place), seed) for place, seed in places]
        code = "; ".join(["import cnn_jax", *lines])
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    together = [(tmp_path / f"together{seed}", seed) for seed in (0, 1)]
    apart = [(tmp_path / f"apart{seed}", seed) for seed in (0, 1)]
    execute(*together)
    for place in apart:
        execute(place)
    for (one, _), (other, _) in zip(together, apart, strict=True):
        assert saved(one, 4) == saved(other, 4)
    assert saved(together[0][0], 4) != saved(together[1][0], 4)


@pytest.mark.parametrize(
    ("options", "seeds", "most"),
    [
        ({}, None, None),
        ({"seeds": 3}, (0, 1, 2), None),
        ({"seeds": [7]}, (7,), None),
        ({"until": "decided"}, None, 30),
        ({"until": "decided", "max_seeds": 12}, None, 12),
    ],
)
def test_the_seeds_of_a_sweep(monkeypatch, options, seeds, most):
    asked = {}

    def load(*_, **given):
        asked.update(given)
        raise UserError("nothing is trained")

    monkeypatch.setattr(api.prepare, "load", load)
    with pytest.raises(UserError, match="nothing is trained"):
        api.sweep("file.py", "sweep", **options)
    assert (asked["seeds"], asked["max_seeds"]) == (seeds, most)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds is 0: set a number of seeds of at least 1"),
        ({"seeds": [1, 1]}, "with each seed once"),
        ({"seeds": [-1]}, "with each seed once"),
        ({"seeds": 3, "until": "decided"}, "set max_seeds instead of seeds"),
        ({"until": "decided", "max_seeds": 1}, "at least 2 seeds"),
    ],
)
def test_mistakes_in_the_seeds_of_a_sweep(options, message):
    with pytest.raises(UserError, match=message):
        api.sweep("file.py", "sweep", **options)
