"""FCOS beside torchvision's, and on other backbones than it has."""

import dataclasses
import importlib.util
import itertools
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count
from cnn_jax.models.fcos import FCOS, places
from cnn_jax.weights import torch_names

GOLDEN = Path(__file__).parent / "golden"
SMALL = {"pyramid_channels": 8, "head_depth": 1}


def shapes_of(model, size, train=False):
    """Returns the shapes of the variables and of the outputs for two images."""
    x = jax.ShapeDtypeStruct((2, *size), jnp.float32)

    def init(x):
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        return model.init_with_output(keys, x, train)

    outputs, variables = jax.eval_shape(init, x)
    return variables, outputs


def torch_name(model, path):
    """torchvision's name of a module of `fcos_resnet50_fpn`."""
    if path.startswith("backbone/"):
        family = torch_names.family("resnet50")
        inside = family.translate(model.backbone, path.removeprefix("backbone/"))
        return f"backbone.body.{inside}"
    fpn, heads = "backbone.fpn", "head.{}_head"
    level = {"8": "0.0", "16": "1.0", "32": "2.0", "64": "p6", "128": "p7"}
    last = {"logits": "cls_logits", "distances": "bbox_reg"}
    last |= {"centerness": "bbox_ctrness"}
    rules = {
        r"pyramid/lateral(\d+)": lambda s: f"{fpn}.inner_blocks.{level[s]}",
        r"pyramid/output(\d+)": lambda s: f"{fpn}.layer_blocks.{level[s]}",
        r"pyramid/extra(\d+)": lambda s: f"{fpn}.extra_blocks.{level[s]}",
        r"(\w+)/conv(\d)": lambda h, i: f"{heads.format(h)}.conv.{3 * int(i) - 3}",
        r"(\w+)/norm(\d)": lambda h, i: f"{heads.format(h)}.conv.{3 * int(i) - 2}",
        r"(\w+)/(\w+)": lambda h, name: f"{heads.format(h)}.{last[name]}",
    }
    for pattern, name in rules.items():
        if match := re.fullmatch(pattern, path):
            return name(*match.groups())
    raise AssertionError(path)


@pytest.mark.full
def test_torchvisions_outputs():
    spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    with np.load(GOLDEN / "fcos_resnet50_fpn.npz") as file:
        expected = dict(file)
    left = dict(
        zip(expected["names"], map(json.loads, expected["shapes"]), strict=True)
    )
    model = models.create("fcos:resnet50", num_classes=91)
    x = np.moveaxis(make.inputs(tuple(expected["input_shape"])), 1, -1)
    variables, _ = shapes_of(model, x.shape[1:])
    filled = {}
    for path, leaf in flatten_dict(variables).items():
        collection, *modules, variable = path
        module = torch_name(model, "/".join(modules))
        name = f"{module}.{torch_names.LEAVES[collection, variable]}"
        value = make.fill(name, tuple(left.pop(name)))
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        if modules[-1] == "distances":  # theirs: left, top, right, bottom
            value = value[..., [1, 0, 3, 2]]
        assert value.shape == leaf.shape, path
        filled[path] = value
    assert all(name.endswith("num_batches_tracked") for name in left)

    outputs = jax.jit(model.apply, static_argnums=2)(unflatten_dict(filled), x, False)
    strides = places(x.shape[1:3], model.strides).strides
    theirs = {
        "logits": expected["cls_logits"],
        "distances": expected["bbox_regression"][..., [1, 0, 3, 2]] * strides[:, None],
        "centerness": expected["bbox_ctrness"][..., 0],
    }
    assert outputs.keys() == theirs.keys() | {"places", "size"}
    for name, value in theirs.items():
        error = np.abs(outputs[name] - value).max() / np.abs(value).max()
        assert error < 1e-5, name


def test_torchvisions_number_of_parameters():
    """torchvision states 32,269,600, with batch normalizations as constants."""
    variables, _ = shapes_of(
        models.create("fcos:resnet50", num_classes=91), (64, 64, 3)
    )
    sizes = {p: leaf.size for p, leaf in flatten_dict(variables["params"]).items()}
    constant = sum(
        size
        for path, size in sizes.items()
        if path[0] == "backbone" and path[-1] in ("scale", "bias")
    )
    assert sum(sizes.values()) - constant == 32_269_600


@pytest.mark.full
@pytest.mark.parametrize(
    ("backbone", "attributes", "size"),
    [
        ("resnet20", {"width": 4, "strides": (4,)}, (48, 48, 1)),
        ("resnet20", {"width": 4, "strides": (2, 4, 8)}, (45, 50, 1)),
        # The first layers do not pad: maps of 45, 22, 11 and 5 pixels.
        (
            "squeezenet1_0",
            {"width_multiplier": 1 / 8, "strides": (4, 8, 16)},
            (96,) * 2,
        ),
        ("vgg11", {"width": 2, "strides": (8, 16, 32)}, (100, 70)),
        ("googlenet", {"width_multiplier": 1 / 16}, (64, 64)),
        ("resnet18", {"width": 4, "output_stride": 8, "strides": (8, 16)}, (64, 72)),
    ],
)
def test_outputs_on_backbones(backbone, attributes, size):
    size = size if len(size) == 3 else (*size, 3)
    model = models.create(
        f"fcos:{backbone}", num_classes=5, dtype="bfloat16", **SMALL, **attributes
    )
    variables, outputs = shapes_of(model, size, train=True)
    count = len(places(size[:2], model.strides).strides)
    where, sides = outputs.pop("places"), outputs.pop("size")
    assert sides.shape == (2, 2)
    assert [leaf.shape[:2] for leaf in where] == [(2, count)] * 3
    assert {name: value.shape for name, value in outputs.items()} == {
        "logits": (2, count, 5),
        "distances": (2, count, 4),
        "centerness": (2, count),
    }
    leaves = jax.tree.leaves((variables, outputs))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    assert variables["params"].keys() == {
        *("backbone", "pyramid", "classification", "regression")
    }
    assert not {"head", "aux1", "aux2"} & variables["params"]["backbone"].keys()


def test_outputs_before_training():
    """No object is likely anywhere (a probability of 0.01), and boxes have a size."""
    model = models.create(
        "fcos:plain", num_classes=3, widths=(8,), strides=(1, 2), **SMALL
    )
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))

    @jax.jit
    def outputs(x):
        return model.init_with_output(jax.random.key(0), x, False)[0]

    found = outputs(x)
    np.testing.assert_allclose(jax.nn.sigmoid(found["logits"]), 0.01, rtol=0.5)
    assert (found["distances"] >= 0).all() and found["distances"].max() > 0


def test_places_of_two_levels():
    found = places((8, 20), (8, 16))
    np.testing.assert_array_equal(
        found.centers, [(4, 4), (4, 12), (4, 20), (8, 8), (8, 24)]
    )
    np.testing.assert_array_equal(found.strides, [8, 8, 8, 16, 16])
    np.testing.assert_array_equal(found.reaches, [(0, 64)] * 3 + [(64, np.inf)] * 2)


def test_the_papers_reaches():
    """Section 3.2: m_2, ..., m_7 are 0, 64, 128, 256, 512 and infinity."""
    found = places((800, 1024), (8, 16, 32, 64, 128))
    limits = [0, 64, 128, 256, 512, np.inf]
    assert len(found.strides) == 12800 + 3200 + 800 + 13 * 16 + 7 * 8
    for stride, reach in zip(
        (8, 16, 32, 64, 128), itertools.pairwise(limits), strict=True
    ):
        assert (found.reaches[found.strides == stride] == reach).all()


def test_attributes_of_both():
    found = models.attributes("fcos:googlenet_bn")
    own = {"strides", "pyramid_channels", "head_depth"}
    assert own | {"width_multiplier", "stem", "dtype", "sync_batch_norm"} < found.keys()
    heads = {"head", "head_width", "pyramid_levels", "dropout", "auxiliary", "backbone"}
    assert not heads & found.keys()
    assert found["strides"] == (tuple[Count, ...], (8, 16, 32, 64, 128))
    model = models.create(
        "fcos:resnet20", num_classes=7, dtype="bfloat16", width=8, strides=(2, 4)
    )
    assert isinstance(model, FCOS) and model.backbone.width == 8
    assert model.dtype == model.backbone.dtype == jnp.bfloat16
    assert (model.num_classes, model.strides) == (7, (2, 4))
    # No attribute would be that of two.
    own = {field.name for field in dataclasses.fields(FCOS)} - {"dtype", "num_classes"}
    for name in models.MODELS:
        assert not own & models.attributes(name).keys() - {"parent", "name"}


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        (
            "fcs:resnet18",
            {},
            "unknown network on a backbone 'fcs'. Did you mean 'fcos'",
        ),
        ("fcos:resnet81", {}, "unknown backbone of fcos 'resnet81'. Did you mean"),
        ("fcos:mlp", {}, "unknown backbone of fcos 'mlp'"),
        ("fcos:r3d_18", {}, "unknown backbone of fcos 'r3d_18'"),
        ("fcos:resnet18", {"head": "gap"}, "attribute of fcos:resnet18 'head'"),
        ("fcos:resnet18", {"strides": ()}, r"strides=\(\) must be one or more"),
        ("fcos:resnet18", {"strides": (8, 32)}, "each twice the previous one"),
        ("fcos:resnet18", {"strides": (0, 0)}, "must be at least 1"),
        ("fcos:resnet18", {"pyramid_channels": 12}, "must be a multiple of 8"),
        ("fcos:resnet18", {"head_depth": 0}, "head_depth=0 must be at least 1"),
        ("fcos:resnet18", {"width": 0}, "width=0 must be at least 1"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, **{"num_classes": 3} | attributes)


@pytest.mark.parametrize("strides", [(2, 4, 8, 16, 32), (4, 8, 16), (64, 128)])
def test_strides_that_the_backbone_has_not(strides):
    model = models.create("fcos:resnet18", num_classes=3, width=4, strides=strides)
    with pytest.raises(UserError, match="have the strides 4, 8, 16, 32"):
        shapes_of(model, (64, 64, 3))
