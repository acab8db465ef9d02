"""The specs of all models, and those of models from outside.

Their figures are compared with ours in `tests/analysis/test_overview.py`.
"""

import dataclasses
import functools
import importlib
import json
import os
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn_jax import layers, models
from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count
from cnn_jax.models.classifier import Classifier
from cnn_jax.models.spec import MISSING, ModelSpec, Published
from cnn_jax.training.weight_decay import NOT_DECAYED

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("CNN_JAX_TEST_GOLDEN", ROOT / "../shared/golden"))

# A small backbone for every network on one.
BACKBONE = "squeezenet1_0"
NAMES = [*models.MODELS, *(f"{name}:{BACKBONE}" for name in models.ON_BACKBONES)]


def tiny(name):
    spec, (_, backbone) = models.spec_of(name), models.parts(name)
    classes = {"num_classes": 3} if spec.classifies else {}
    return models.create(name, **classes, **models.MODELS[backbone].tiny | spec.tiny)


# Variants that differ in size alone have one tiny form.
DISTINCT = {tiny(name): name for name in reversed(NAMES)}


@pytest.mark.parametrize("model", DISTINCT, ids=DISTINCT.get)
def test_the_tiny_form(model):
    """The tiny form has few parameters, with names that weight decay knows."""
    spec = models.spec_of(DISTINCT[model])
    x = jax.ShapeDtypeStruct((1, *spec.tiny_shape), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, False), x)
    assert 0 < sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 10**6
    names = {path[-1] for path in flatten_dict(shapes["params"])}
    assert names <= {"kernel", *NOT_DECAYED}


@pytest.mark.parametrize("name", models.MODELS)
def test_the_published_setting(name):
    setting = models.published(name)
    assert models.classifies(name) == (setting.num_classes is not None)
    if models.classifies(name):
        assert models.create(name).num_classes == setting.num_classes
    clips = len(setting.input_shape) == 4
    assert clips == ("frames" in models.attributes(name))
    assert setting.source and min(setting.input_shape) > 0
    assert (setting.macs or 0) % 10**6 == 0
    assert setting.parameters is None or setting.parameters > 0


def test_each_name_is_one_models():
    """The table has all models of all files, and each name once."""
    listed = []
    for file in pkgutil.iter_modules(models.__path__, "cnn_jax.models."):
        listed += getattr(importlib.import_module(file.name), "VARIANTS", ())
    assert sorted(listed) == sorted(models.MODELS)
    assert not any(set(":./") & set(name) for name in listed)


@pytest.mark.parametrize("upper", models.ON_BACKBONES)
def test_a_network_on_a_backbone_has_its_setting(upper):
    assert models.published(f"{upper}:resnet18") is models.published("resnet18")


def test_images_of_weights_that_torchvision_took_over():
    """The weights are from TensorFlow, whose images have values from -1 to 1."""
    found = {name: spec.normalization for name, spec in models.MODELS.items()}
    others = {name for name, normalization in found.items() if normalization}
    assert others == {"googlenet_bn", "inception_v3"}
    assert found["inception_v3"] == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_the_multi_layer_perceptron_of_the_lecture():
    """One hidden layer of 100 units between 16x16 pixels and 26 letters."""
    mlp = models.published("mlp")
    assert (mlp.input_shape, mlp.num_classes) == ((16, 16, 1), 26)
    assert mlp.parameters == 256 * 100 + 100 + 100 * 26 + 26


def test_torchvisions_own_table():
    path = GOLDEN / "torchvision_meta.json"
    if not path.exists():
        pytest.skip(f"no golden outputs in {GOLDEN} (set CNN_JAX_TEST_GOLDEN)")
    known = json.loads(path.read_text())
    for name, spec in models.MODELS.items():
        if not spec.published.source.startswith("torchvision"):
            continue
        metas = known[spec.names.model or name].values()
        assert metas
        for meta in metas:
            assert spec.published.parameters == meta["num_params"], name
            assert spec.published.macs == round(meta["gmacs"] * 1000) * 10**6, name


# ------------------------------------------------------------------ models from outside


class Theirs(nn.Module):
    """A network of plain linen."""

    num_classes: int
    features: Sequence[Count] = (4, 4)
    rate: "float" = 0.0
    activation: Callable[..., Any] = nn.relu
    extra: nn.Module | None = None
    dtype: Any = jnp.bfloat16

    @nn.compact
    def __call__(self, x, train):
        for features in self.features:
            x = self.activation(nn.Conv(features, (3, 3), dtype=self.dtype)(x))
        return nn.Dense(self.num_classes, name="head")(x.mean((1, 2)))


class Bare(nn.Module):
    """A network without a number of classes and without a type."""

    width: Count

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.width)(x.reshape(len(x), -1))


class Needy(nn.Module):
    block: Callable[..., nn.Module]

    def __call__(self, x, train):
        return x


class NoTrain(nn.Module):
    def __call__(self, x):
        return x


class Maps(Classifier, kw_only=True):
    """A network of ours that is not listed."""

    width: Count = 4

    @property
    def subsampling(self):
        return (2, 2)

    @nn.compact
    def __call__(self, x, train):
        size = x.shape[1:-1]
        for i, step in enumerate(self.plan(), start=1):
            x = layers.Conv(self.width, 3, step.strides, padding=1, name=f"conv{i}")(x)
            x = nn.relu(x)
        return self.classify(x, train, size=size)


five = functools.partial(Theirs, num_classes=5, rate=0.5)
positional = functools.partial(Theirs, 5)
spec = ModelSpec(Theirs, Published((16, 16, 3), 7))
number = 3


@pytest.fixture
def their_nets(tmp_path):
    """A module of a user's, with the objects above."""
    (tmp_path / "their_nets.py").write_text(f"from {__name__} import *")
    imports.add(tmp_path)


def test_fields_are_attributes(their_nets):
    """Fields with plain types are attributes; a sequence is a tuple."""
    assert models.attributes("their_nets.Theirs") == {
        "features": (tuple[Count, ...], (4, 4)),
        "rate": (float, 0.0),
        "dtype": (str | None, None),
    }
    assert models.attributes("their_nets.Bare") == {"width": (Count, MISSING)}
    assert models.attributes("their_nets.five")["rate"] == (float, 0.5)
    assert models.classifies("their_nets.Theirs")
    assert not models.classifies("their_nets.Bare")


def test_a_model_by_its_import_path(their_nets):
    model = models.create("their_nets.Theirs", num_classes=3, features=(2,))
    assert model == Theirs(num_classes=3, features=(2,))
    assert models.create("their_nets.five") == Theirs(num_classes=5, rate=0.5)
    assert models.create("their_nets.five", num_classes=2).num_classes == 2
    assert models.create("their_nets.spec").num_classes == 7
    half = models.create("their_nets.spec", dtype="float16")
    assert half.dtype == jnp.float16
    logits, _ = jax.eval_shape(
        lambda x: half.init_with_output(jax.random.key(0), x, False),
        jax.ShapeDtypeStruct((2, 16, 16, 3), np.float32),
    )
    assert logits.shape == (2, 7)


def test_what_nobody_published(their_nets):
    assert models.published("their_nets.Theirs") == Published()
    assert models.published_shape("their_nets.spec") == (16, 16, 3)
    with pytest.raises(
        UserError, match="Theirs has no published input shape: set --input"
    ):
        models.published_shape("their_nets.Theirs")


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("Theirs", {}, "their_nets.Theirs needs a value for num_classes"),
        ("Theirs", {"width": 3}, "unknown attribute of their_nets.Theirs 'width'"),
        ("Theirs", {"activation": 3}, "unknown attribute .* 'activation'"),
        ("five", {"features": (4, 0)}, r"features=\(4, 0\) must be at least 1"),
        ("five", {"rate": float("nan")}, "rate=nan must be finite"),
        ("five", {"dtype": "float"}, "unknown dtype 'float'"),
        ("Bare", {}, "their_nets.Bare needs a value for width"),
        ("Bare", {"width": 3, "num_classes": 2}, "Bare has no classes"),
        ("Bare", {"width": 3, "dtype": "float32"}, "attribute .* 'dtype'"),
        ("Needy", {}, "Needy needs a default for its field block"),
        (
            "NoTrain",
            {},
            "NoTrain.* is not a model: a model is a flax.linen module class",
        ),
        ("number", {}, "3 is not a model"),
        ("positional", {}, "is not a model.* of such a class with keyword"),
        ("missing", {}, "'their_nets.missing': there is no 'missing' in"),
    ],
)
def test_mistakes(name, attributes, message, their_nets):
    with pytest.raises(UserError, match=message):
        models.create(f"their_nets.{name}", **attributes)


def test_hints_that_cannot_be_read(monkeypatch, their_nets):
    monkeypatch.setitem(Theirs.__annotations__, "rate", "NotThere")
    with pytest.raises(UserError, match=r"type hints of .*Theirs.*'NotThere'"):
        models.attributes("their_nets.Theirs")


def test_a_backbone_from_outside(their_nets):
    name = "unet:their_nets.Maps"
    assert {"width", "decoder_width"} <= models.attributes(name).keys()
    model = models.create(name, num_classes=3, width=2, decoder_width=2)
    assert model.backbone == Maps(num_classes=3, width=2)
    logits, _ = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, False),
        jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32),
    )
    assert logits.shape == (1, 8, 8, 3)
    with pytest.raises(UserError, match="Theirs cannot be the backbone of unet"):
        models.create("unet:their_nets.Theirs", num_classes=3)


def test_fields_with_factories():
    class Made(nn.Module):
        sizes: tuple[int, ...] = dataclasses.field(default_factory=lambda: (1, 2))

        def __call__(self, x, train):
            return x

    assert ModelSpec(Made).keys() == {"sizes": (tuple[int, ...], (1, 2))}
