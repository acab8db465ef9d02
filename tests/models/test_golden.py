"""Outputs of torchvision's networks with the same weights.

The files are no part of the project; see `golden` for where they are looked for.
"""

import importlib.util
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("CNN_JAX_TEST_GOLDEN", ROOT / "../shared/golden"))


@pytest.fixture(scope="module")
def fill():
    """The module that makes weights from names."""
    path = GOLDEN / "fill.py"
    if not path.exists():
        pytest.skip(f"no golden outputs in {GOLDEN} (set CNN_JAX_TEST_GOLDEN)")
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden(name):
    with np.load(GOLDEN / "torchvision" / f"{name}.npz") as file:
        return dict(file)


def torch_name(path):
    """The state-dict entry of torchvision for a path of our variables."""
    *modules, leaf = path
    leaf = {
        "kernel": "weight",
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
    }[leaf]
    if modules == ["head"]:
        return f"fc.{leaf}"
    block, layer = modules
    layer = layer.replace("norm", "bn")
    if block == "stem":
        return f"{layer}1.{leaf}"
    stage, index = block.removeprefix("stage").split("_block")
    layer = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}.get(
        layer, layer
    )
    return f"layer{stage}.{int(index) - 1}.{layer}.{leaf}"


def to_torch(shape):
    """HWIO to OIHW, IO to OI."""
    return (*shape[:-3:-1], *shape[:-2])


def to_flax(value):
    return value.transpose(*range(2, value.ndim), 1, 0) if value.ndim > 1 else value


def filled(fill, model, x, prefix=""):
    """The model's variables, each made from its name in torchvision."""
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    names = set()

    def make(path, leaf):
        name = prefix + torch_name([key.key for key in path[1:]])
        names.add(name)
        return to_flax(fill.fill(name, to_torch(leaf.shape)))

    return jax.tree_util.tree_map_with_path(make, shapes), names


def relative_error(a, b):
    return np.abs(np.array(a) - b).max() / np.abs(b).max()


def state_names(expected):
    names = expected["names"].tolist()
    return {name for name in names if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_logits(name, fill):
    expected = golden(name)
    x = fill.inputs(tuple(expected["input_shape"])).transpose(0, 2, 3, 1)
    model = models.create(name, num_classes=1000)
    variables, names = filled(fill, model, x)
    assert names == state_names(expected)
    logits = jax.jit(lambda v, x: model.apply(v, x, False))(variables, x)
    assert relative_error(logits, expected["output"]) < 1e-4


def test_dilated_bottlenecks_under_an_fcn_head(fill):
    """FCN (Long et al. 2015) on ResNet-50 at output stride 8; the head is here."""
    expected = golden("fcn_resnet50")
    x = fill.inputs(tuple(expected["input_shape"])).transpose(0, 2, 3, 1)
    model = models.create("resnet50", num_classes=1, output_stride=8)
    variables, names = filled(fill, model, x, "backbone.")
    names -= {"backbone.fc.weight", "backbone.fc.bias"}
    head = {name for name in state_names(expected) if name.startswith("classifier.")}
    assert names | head == state_names(expected)
    shapes = dict(zip(expected["names"], expected["shapes"], strict=True))
    weights = {n: to_flax(fill.fill(n, tuple(json.loads(shapes[n])))) for n in head}

    def conv(x, name, padding):
        return jax.lax.conv_general_dilated(
            x,
            weights[name],
            (1, 1),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    @jax.jit
    def run(variables, x):
        _, state = model.apply(
            variables,
            x,
            False,
            capture_intermediates=lambda module, _: module.name == "stage4_block3",
            mutable=["intermediates"],
        )
        (y,) = state["intermediates"]["stage4_block3"]["__call__"]
        y = conv(y, "classifier.0.weight", 1)
        y = (y - weights["classifier.1.running_mean"]) * jax.lax.rsqrt(
            weights["classifier.1.running_var"] + 1e-5
        )
        y = y * weights["classifier.1.weight"] + weights["classifier.1.bias"]
        y = conv(jax.nn.relu(y), "classifier.4.weight", 0)
        y = y + weights["classifier.4.bias"]
        return jax.image.resize(y, (*x.shape[:3], y.shape[-1]), "bilinear")

    y = jnp.transpose(run(variables, x), (0, 3, 1, 2))
    assert relative_error(y, expected["output"]) < 1e-4
