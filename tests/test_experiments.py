"""Every experiment: its arms are networks, and in small it runs to a report."""

import functools
from pathlib import Path

import jax
import pytest

from cnn_jax import data
from cnn_jax.sweeps import experiment, results
from cnn_jax.sweeps import runner as sweeps
from cnn_jax.training import config as config_lib
from cnn_jax.training import setup

ROOT = Path(__file__).parents[1]
FILES = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
# Those on real data too.
SPECS = [*FILES, "dilation:classification"]
SPECS += [f"{n}:cifar10" for n in FILES if n not in ("conv3d", "transfer")]


def load(spec, workdir, **options):
    name, colon, argument = spec.partition(":")
    path = f"experiments/{name}.py{colon}{argument}"
    return experiment.load(path, workdir, **{"overrides": {}, "seeds": (0,)} | options)


@functools.cache
def shapes(config, classes, image_shape):
    """The shapes of a network's variables, and that they are applied to an image."""
    model = setup.model_of(config, classes)
    x = jax.ShapeDtypeStruct((2, *image_shape), "float32")
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), x
    )


QUICK = ("pooling",)


def by_tier(names):
    return [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.full)
        for name in names
    ]


@pytest.mark.parametrize("spec", by_tier(SPECS))
def test_every_arm_is_a_network(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = load(spec, tmp_path)
    networks = set()
    for each in found.runs:
        config = each.config
        if config.data.name.startswith("tfds:"):
            classes, image_shape = 10, (32, 32, 3)
        else:
            described = data.describe(config.data.name, **setup.data_options(config))
            classes, image_shape = len(described.classes), described.image_shape
        outputs, _ = shapes(config, classes, image_shape)
        assert outputs.shape[0] == 2 and outputs.shape[-1] == classes
        networks.add(config_lib.hash_of(config))
    if not found.searches:  # the values of the best trial are not known yet
        assert len(networks) == len(found.arms) > 2
    assert found.question.endswith("?")


@pytest.mark.parametrize(
    "name", [*by_tier(FILES), *(pytest.param(f, marks=pytest.mark.slow) for f in FILES)]
)
def test_every_experiment_runs(name, done, tmp_path, monkeypatch, request, capsys):
    """The first arm and the last one; in the slow form, all of them."""
    monkeypatch.chdir(ROOT)
    found = load(name, tmp_path / "sweep", smoke=True)
    slow = request.node.get_closest_marker("slow")
    chosen = found.runs if slow else (found.runs[0], found.runs[-1])
    for each in (*([found.source] if found.source else []), *chosen):
        done("main", *each.command[3:])
    rows = [row.outcome.status for row in results.read(found)]
    assert rows.count("done") == len(chosen)
    if slow:
        sweeps.report(found, tmp_path / "sweep", None)
        assert found.arms[-1].name in capsys.readouterr().out


def test_every_experiment_has_its_place_in_the_page():
    page = (ROOT / "experiments" / "README.md").read_text()
    for name in FILES:
        assert f"<!-- {name} -->" in page and f"<!-- end of {name} -->" in page
