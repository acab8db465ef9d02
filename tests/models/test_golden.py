"""Outputs of torchvision's networks with the same weights, through the converter.

Some of the files are in `golden/` beside this one, others are no part of the project;
see `GOLDEN` and `DATA` for where they are looked for.
"""

import importlib.util
import json
import os
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.models import googlenet, inception, pixel_heads
from cnn_jax.models.classifier import head_init
from cnn_jax.weights import torch_names, weight_files
from cnn_jax.weights.torch_weights import (
    counts_of,
    entries_of,
    from_torch,
    model_of,
    to_torch,
)

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("CNN_JAX_TEST_GOLDEN", ROOT / "../shared/golden"))
DATA = Path(os.environ.get("CNN_JAX_TEST_DATA", ROOT / "../shared/data"))

# torchvision's names of the networks.
THEIRS = {name: names.model or name for name, names in torch_names.FAMILIES.items()}
# Those that take a while to compile, or much memory.
SLOW = ("densenet121", "inception_v3", "resnet101", "resnet152", "wide_resnet50_2")
SLOW += ("vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
SLOW += ("r3d_18",)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load(HERE / "golden" / "make.py")


def golden(name, folders=(HERE / "golden", GOLDEN / "torchvision")):
    for folder in folders:
        if (folder / f"{name}.npz").exists():
            with np.load(folder / f"{name}.npz") as file:
                return dict(file)
    pytest.skip(f"no golden output in {GOLDEN} (set CNN_JAX_TEST_GOLDEN)")


def entries(expected):
    """The state dict, each entry made from its name."""
    shapes = map(json.loads, expected["shapes"].tolist())
    return {
        name: make.fill(name, tuple(shape))
        for name, shape in zip(expected["names"].tolist(), shapes, strict=True)
    }


def inputs(expected):
    return np.moveaxis(make.inputs(tuple(expected["input_shape"])), 1, -1)


def relative_error(a, b):
    return np.abs(np.array(a) - b).max() / np.abs(b).max()


def assert_same(ours, theirs):
    """Bit for bit."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape
        assert ours[name].tobytes() == value.tobytes(), name


def test_every_network_is_compared():
    given = {path.stem for path in (HERE / "golden").glob("*.npz")}
    elsewhere = {"resnet18", "resnet34", "vgg11", "vgg11_bn", "mc3_18"}
    elsewhere |= {"alexnet", "googlenet", "squeezenet1_1"}
    assert set(THEIRS.values()) <= given | elsewhere


def test_filled_as_elsewhere():
    path = GOLDEN / "fill.py"
    if not path.exists():
        pytest.skip(f"no golden outputs in {GOLDEN} (set CNN_JAX_TEST_GOLDEN)")
    theirs = load(path)
    for name, shape in {
        "a.weight": (3, 4, 2, 2),
        "fc.weight": (3, 4),
        "bn.weight": (5,),
        "bn.bias": (5,),
        "bn.running_mean": (5,),
        "bn.running_var": (5,),
        "bn.num_batches_tracked": (),
    }.items():
        ours = make.fill(name, shape)
        assert_same({name: ours}, {name: theirs.fill(name, shape)})
    x = make.inputs((2, 3, 4, 4))
    assert_same({"x": x}, {"x": theirs.inputs((2, 3, 4, 4))})


# Of these, a smaller variant is tested quickly.
DEEP = ("resnet34", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2")
DEEP += ("resnext101_32x8d", "vgg13", "vgg16", "vgg19")
DEEP += ("vgg13_bn", "vgg16_bn", "vgg19_bn", "mc3_18")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.full) if name in DEEP else name
        for name in torch_names.FAMILIES
    ],
)
def test_names_and_shapes(name):
    """Names and shapes of all entries equal torchvision's."""
    expected = golden(THEIRS[name])
    shapes = map(json.loads, expected["shapes"].tolist())
    theirs = dict(zip(expected["names"].tolist(), map(tuple, shapes), strict=True))
    model = models.create(name, num_classes=expected["output"].shape[1])
    ours = entries_of(name, model)
    counts = dict.fromkeys(counts_of(ours), ())
    assert {entry.name: entry.torch_shape for entry in ours} | counts == theirs


# Small ones: without batch normalization, and with.
QUICK = ("squeezenet1_1", "resnet18")


def tier(name):
    if name in SLOW:
        return pytest.mark.slow
    return () if name in QUICK else pytest.mark.full


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=tier(name)) for name in torch_names.FAMILIES],
)
def test_logits_and_the_way_back(name):
    expected = golden(THEIRS[name])
    state, x = entries(expected), inputs(expected)
    variables = from_torch(name, state)
    assert_same(to_torch(name, variables), state)
    model = model_of(name, state)
    del state
    logits = jax.jit(lambda v, x: model.apply(v, x, False))(variables, x)
    assert logits.dtype == jnp.float32
    assert relative_error(kept(name, logits), expected["output"]) < 1e-5


def kept(name, logits):
    """Returns those logits of pixels that are in the file, in PyTorch's layout."""
    if name not in make.PIXELS:
        return logits
    each = slice(None, None, make.EACH[name])
    return jnp.moveaxis(logits[:, each, each], -1, 1)


@pytest.mark.full
@pytest.mark.parametrize("name", make.PIXELS)
def test_auxiliary_heads_of_pixels(name):
    """In evaluation, on the map of the stage before the last."""
    expected = golden(name)
    state, x = entries(expected), inputs(expected)
    variables, model = from_torch(name, state), model_of(name, state)
    assert model.auxiliary
    head = pixel_heads.AuxiliaryHead(
        21,
        conv=model.head_conv(False),
        dropout=0.1,
        train=False,
        size=x.shape[1:3],
        kernel_init=head_init,
    )

    @jax.jit
    def run(variables, x):
        maps = nn.apply(partial(by_stage, stage=3), model)(variables, x)
        part = {kind: tree["aux"] for kind, tree in variables.items()}
        return head.apply(part, maps)

    assert relative_error(kept(name, run(variables, x)), expected["auxiliary"]) < 1e-5


def by_stage(model, x, stage):
    """The last map of a stage of a residual network."""
    found = {}

    def record(method, args, kwargs, context):
        y = method(*args, **kwargs)
        if context.module.name and context.method_name == "__call__":
            found[context.module.name.partition("_")[0]] = y
        return y

    with nn.intercept_methods(record):
        model(x, False)
    return found[f"stage{stage}"]


@pytest.mark.full
@pytest.mark.parametrize("name", make.HEADS)
def test_auxiliary_heads(name):
    """In evaluation, where the network itself leaves them out."""
    expected = golden(name)
    network, _, ours = name.rpartition("_")
    network = {"googlenet": "googlenet_bn"}.get(network, network)
    state = entries(expected)
    variables, model = from_torch(network, state), model_of(network, state)
    assert model.auxiliary
    if network == "googlenet_bn":
        head = googlenet.AuxiliaryHead(
            1000,
            pool=model.auxiliary_pool(1),
            conv=model.unit(False),
            hidden=1024,
            dropout=0.7,
            train=False,
        )
    else:
        norm = model.normalization(False, epsilon=0.001)
        head = inception.AuxiliaryHead(1000, conv=unit_with(norm))
    part = {kind: tree[ours] for kind, tree in variables.items()}
    logits = jax.jit(head.apply)(part, inputs(expected))
    assert relative_error(logits, expected["output"]) < 1e-5


def unit_with(norm):
    return lambda *args, **kwargs: layers.ConvUnit(*args, norm=norm, **kwargs)


def test_trained_weights():
    path = DATA / "weights" / "squeezenet1_0_imagenet.safetensors"
    if not path.exists():
        pytest.skip(f"no trained weights in {DATA} (set CNN_JAX_TEST_DATA)")
    expected = golden("squeezenet1_0_imagenet")
    state = weight_files.read(path).arrays
    assert list(state) and set(state) == set(expected["names"].tolist())
    variables, model = (
        from_torch("squeezenet1_0", state),
        model_of("squeezenet1_0", state),
    )
    logits = jax.jit(lambda v, x: model.apply(v, x, False))(variables, inputs(expected))
    assert relative_error(logits, expected["output"]) < 1e-5
    assert_same(to_torch("squeezenet1_0", variables), state)


@pytest.mark.full
def test_a_segmentation_network_without_an_auxiliary_head():
    """Every pixel, by another version of torchvision."""
    expected = golden("fcn_resnet50", [GOLDEN / "torchvision"])
    state, x = entries(expected), inputs(expected)
    variables = from_torch("fcn_resnet50", state)
    model = model_of("fcn_resnet50", state)
    assert not model.auxiliary and "aux" not in variables["params"]
    assert_same(to_torch("fcn_resnet50", variables), state)
    y = jax.jit(lambda v, x: model.apply(v, x, False))(variables, x)
    assert relative_error(jnp.moveaxis(y, -1, 1), expected["output"]) < 1e-5
