"""Every experiment: its arms are networks, and in small it runs to a report."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr
from PIL import Image

from cnn_jax import data
from cnn_jax.sweeps import experiment, protocol, results
from cnn_jax.sweeps import runner as sweeps
from cnn_jax.training import config as config_lib
from cnn_jax.training import setup, state

ROOT = Path(__file__).parents[1]
FILES = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
# Those without the argument cifar10.
SMALL = ("augmentation", "conv3d", "transfer", "transferability")
# Those on real data too.
REAL = {
    "pooling": ("few_cifar10", "few_mnist", "folder"),
    "residual": ("few_cifar10", "folder"),
    "dilation": ("few_cifar10", "camvid"),
    "parameter_sharing": ("few_cifar10", "few_mnist"),
}
SPECS = [*FILES, "dilation:classification"]
SPECS += [f"{n}:cifar10" for n in FILES if n not in SMALL]
SPECS += [f"{name}:{argument}" for name, found in REAL.items() for argument in found]
# Image shapes of data sets that tests do not read.
SHAPES = {"tfds:cifar10": (32, 32, 3), "tfds:mnist": (28, 28, 1)}
# Parameters that differ between arms: the filters are the question of their experiment,
# and the heads of a PlainNet and of a perceptron have different initializers (these
# arms are not compared to each other).
DIFFERING = {
    "filters": {"['filters']['kernel']"},
    "filters:cifar10": {"['filters']['kernel']"},
    "subsampling:cifar10": {"['head']['kernel']"},
}


def load(spec, workdir, **options):
    name, colon, argument = spec.partition(":")
    path = f"experiments/{name}.py{colon}{argument}"
    overrides = {}
    if argument == "camvid":  # equal costs are found from the data
        overrides["data.dir"] = str(scenes(workdir / "camvid"))
    given = {"overrides": overrides, "seeds": (0,)} | options
    return experiment.load(path, workdir, **given)


def scenes(folder):
    """Writes a black scene and its mask for each split, and returns the folder."""
    for name in ("train", "val", "test"):
        for place, mode in ((name, "RGB"), (f"{name}annot", "L")):
            (folder / place).mkdir(parents=True)
            Image.new(mode, (64, 48)).save(folder / place / "a.png")
    return folder


class Network(NamedTuple):
    """A network, traced but not run."""

    outputs: Any  # the shapes of the outputs for two images
    places: list[tuple[tuple[str, ...], tuple[int, ...]]]  # of parameters: path, shape
    program: ClosedJaxpr  # from a random key to the outputs and the parameters

    def start(self, seed, wanted):
        """The initial values of the wanted parameters, by path and shape."""
        outputs = len(self.program.jaxpr.outvars) - len(self.places)
        used = [False] * outputs + [place in wanted for place in self.places]
        jaxpr, _ = dce_jaxpr(self.program.jaxpr, used, instantiate=True)
        run = jaxpr_as_fun(ClosedJaxpr(jaxpr, self.program.consts))
        values = run(state.stream(jax.random.key(seed), "init"))
        places = [place for place in self.places if place in wanted]
        return dict(zip(places, map(np.asarray, values), strict=True))


TRACED: dict[Any, Network] = {}


def network(config):
    """The traced network of a config; arms with the same network share it."""
    classes, image_shape = seen(config)
    key = config.model, classes, image_shape
    if key not in TRACED:
        TRACED[key] = traced(setup.model_of(config, classes), image_shape)
    return TRACED[key], classes


def traced(model, image_shape):
    """A network and the program that computes its initial parameters."""

    def apply(key):
        x = jnp.zeros((2, *image_shape))
        outputs, variables = model.init_with_output(key, x, train=False)
        return outputs, variables["params"]

    program, (outputs, params) = jax.make_jaxpr(apply, return_shape=True)(
        jax.random.key(0)
    )
    leaves = jax.tree_util.tree_leaves_with_path(params)
    places = [(jax.tree_util.keystr(path), leaf.shape) for path, leaf in leaves]
    return Network(outputs, places, program)


def seen(config):
    """The number of classes and the shape of the images of a config's data."""
    values = config.data
    if values.name in SHAPES:
        classes, shape = 10, SHAPES[values.name]
    elif values.name in ("folder", "masks"):
        classes, shape = len(values.get("classes", range(10))), (0, 0, 3)
    else:
        described = data.describe(values.name, **setup.data_options(config))
        return len(described.classes), described.image_shape
    sides = np.broadcast_to(values.image_size or shape[:2], 2).tolist()
    return classes, (*sides, shape[-1])


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
    configs = set()
    for each in found.runs:
        made, classes = network(each.config)
        assert made.outputs.shape[0] == 2 and made.outputs.shape[-1] == classes
        configs.add(config_lib.hash_of(each.config))
    if not found.searches:  # the values of the best trial are not known yet
        assert len(configs) == len(found.arms) > 2
    assert found.question.endswith("?")


@pytest.mark.parametrize("spec", by_tier(SPECS))
def test_arms_start_from_the_same_kernels(spec, tmp_path, monkeypatch):
    """Parameters of one path and shape are bit-equal in all arms with one seed.

    The program that initializes a network runs here operation by operation. The next
    test compiles it, as a run does.
    """
    monkeypatch.chdir(ROOT)
    found = load(spec, tmp_path)
    made = list({id(n): n for n, _ in (network(r.config) for r in found.runs)}.values())
    counts = Counter(place for each in made for place in each.places)
    shared = {place for place, count in counts.items() if count > 1}
    assert shared or len(made) == len({seen(r.config) for r in found.runs}) == 1
    first, differing = {}, set()
    for each in made:
        for place, values in each.start(0, shared).items():
            same = np.array_equal(first.setdefault(place, values), values)
            differing |= set() if same else {place[0]}
    assert differing == DIFFERING.get(spec, set())
    another = {k: v for each in made[:1] for k, v in each.start(1, shared).items()}
    for place, values in another.items():
        if place[0] not in differing:
            constant = np.isin(values, (0, 1)).all()  # biases, scales of normalization
            assert constant == np.array_equal(values, first[place]), place


def test_compiled_starts_are_bit_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = load("pooling", tmp_path)
    starts = {}
    for each in found.runs:
        if each.arm in ("max pooling", "strided convolution", "fully connected head"):
            classes, image_shape = seen(each.config)
            model = setup.model_of(each.config, classes)
            begun = state.create(
                model, optax.identity(), image_shape, seed=0, ema=False
            )
            starts[each.arm] = flatten_dict(begun.params)
    base = starts.pop("max pooling")
    for start in starts.values():
        shared = [p for p, v in start.items() if p in base and v.shape == base[p].shape]
        assert len(shared) > 10
        assert all(np.array_equal(start[path], base[path]) for path in shared)


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
        sweeps.report(found, tmp_path / "sweep", None, protocol.make(found))
        assert found.arms[-1].name in capsys.readouterr().out


def test_every_experiment_has_its_place_in_the_page():
    page = (ROOT / "experiments" / "README.md").read_text()
    for name in FILES:
        assert f"<!-- {name} -->" in page and f"<!-- end of {name} -->" in page
