"""Networks that give pictures a style: published sizes, and what they make of pairs."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.core.errors import UserError
from cnn_jax.models import maps, style_transfer
from cnn_jax.models.enhancement import Enhancer

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
# A small backbone with maps of strides 1, 2 and 4.
BACKBONE = {"stem": "small", "width_multiplier": 0.125}
LAYERS = {"content_layers": ("fire5",), "style_layers": ("conv1", "fire3")}
OWN = {"johnson": {"network_width": 4, "network_depth": 1}}


def tiny(kind, **attributes):
    attributes = LAYERS | OWN.get(kind, {}) | attributes
    model = models.create(f"{kind}:squeezenet1_0", **BACKBONE, **attributes)
    return model.clone(mean=MEAN, std=STD)


@functools.cache
def pairs(height=16, width=13):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(2, 2, height, width, 3)), jnp.float32)


@functools.cache
def first(kind, **attributes):
    """Variables and outputs on `pairs()`."""
    model = tiny(kind, **attributes)
    apply = jax.jit(lambda x: model.init_with_output(jax.random.key(0), x, False))
    outputs, variables = apply(pairs())
    return model, variables, outputs


def conv(size, channels, features):
    return size**2 * channels * features + features


def test_published_parameters():
    """Layer by layer from PyTorch's `transformer_net.py`."""
    down = conv(9, 3, 32) + conv(3, 32, 64) + conv(3, 64, 128)
    blocks = 5 * 2 * (conv(3, 128, 128) + 2 * 128)
    up = conv(3, 128, 64) + conv(3, 64, 32) + conv(9, 32, 3)
    norms = 2 * (32 + 64 + 128 + 64 + 32)
    model = models.create("johnson")
    assert isinstance(model, Enhancer) and not models.classifies("johnson")
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, False), jnp.zeros((1, 16, 16, 3))
    )
    found = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert found == down + blocks + up + norms == 1_679_235


@pytest.mark.full
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("size", [(16, 16), (17, 14)])
def test_any_size(size, dtype):
    for kind in style_transfer.ON_BACKBONES:
        model = tiny(kind, dtype=dtype)
        x = jax.ShapeDtypeStruct((2, 2, *size, 3), jnp.float32)
        found, variables = jax.eval_shape(
            lambda x, model=model: model.init_with_output(jax.random.key(0), x, True), x
        )
        assert found["picture"].shape == (2, *size, 3)
        assert {leaf.dtype for leaf in jax.tree.leaves((found, variables))} == {
            jnp.dtype("float32")
        }
        assert len(found["content"]) == 1 and len(found["style"]) == 2


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "pixels" else pytest.param(kind, marks=pytest.mark.full)
        for kind in style_transfer.ON_BACKBONES
    ],
)
def test_outputs_are_maps_of_the_backbone(kind):
    model, variables, outputs = first(kind)
    backbone = {"params": variables["params"]["backbone"]}

    @jax.jit
    def seen(x):
        by_name = functools.partial(maps.by_name, names=("fire5", "conv1", "fire3"))
        return nn.apply(by_name, model.backbone)(backbone, x)

    normalized = (outputs["picture"] - jnp.array(MEAN)) / jnp.array(STD)
    picture, content, style = map(seen, (normalized, pairs()[:, 0], pairs()[:, 1]))
    ((found, target),) = outputs["content"]
    np.testing.assert_allclose(found, picture["fire5"], atol=1e-5)
    expected = content["fire5"]
    if kind == "adain":
        expected = layers.adaptive_instance_norm(expected, style["fire5"])
    np.testing.assert_allclose(target, expected, atol=1e-5)
    for name, found in zip(("conv1", "fire3"), outputs["style"], strict=True):
        for x, given in zip(found, (picture, content, style), strict=True):
            np.testing.assert_allclose(x, given[name], atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("kind", style_transfer.ON_BACKBONES)
def test_the_picture_alone(kind):
    model, variables, outputs = first(kind)
    given = pairs() if model.any_style else pairs()[:, 0]
    found = model.apply(variables, given, False, method="stylized")
    np.testing.assert_allclose(found, outputs["picture"], atol=1e-5)


@pytest.mark.full
def test_where_pixels_start():
    _, variables, outputs = first("pixels")
    shown = pairs()[:, 0] * jnp.array(STD) + jnp.array(MEAN)
    np.testing.assert_allclose(outputs["picture"], shown, atol=1e-6)
    assert variables["params"]["canvas"]["pixels"].shape == (16, 13, 3)
    _, _, outputs = first("pixels", start="noise")
    found = (outputs["picture"] - jnp.array(MEAN)) / jnp.array(STD)
    assert np.std(found) == pytest.approx(0.5, rel=0.1)
    assert (found[0] == found[1]).all()


@pytest.mark.full
def test_no_style_is_the_content_decoded():
    """With alpha=0, the result is the decoded content."""
    model, variables, outputs = first("adain")
    same = pairs()[:, [0, 0]]
    whole = model.apply(variables, same, False)["picture"]
    none = tiny("adain", alpha=0.0).apply(variables, pairs(), False)["picture"]
    np.testing.assert_allclose(none, whole, atol=1e-4)
    assert np.abs(none - outputs["picture"]).max() > 1e-3


def test_borders_are_mirrored():
    """An image of one value has no visible border."""
    x = jnp.full((1, 8, 8, 3), 0.7)
    for module in (
        style_transfer.ReflectedConv(4, 3),
        style_transfer.ReflectedConv(4, 9, 2),
        style_transfer.Decoder((16, 16)),
    ):
        y, _ = module.init_with_output(jax.random.key(0), x)
        np.testing.assert_allclose(
            y, jnp.broadcast_to(y[:, :1, :1], y.shape), rtol=1e-4
        )


@pytest.mark.parametrize("kind", style_transfer.ON_BACKBONES)
def test_only_its_own_parameters_have_to_be_trained(kind):
    _, variables, _ = first(kind)
    own = {"pixels": "canvas", "johnson": "network", "adain": "decoder"}[kind]
    assert variables["params"].keys() == {own, "backbone"}
    assert "head" not in variables["params"]["backbone"]


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("pixel:squeezenet1_0", {}, "on a backbone 'pixel'. Did you mean 'pixels'"),
        ("adain:mlp", {}, "unknown backbone of adain 'mlp'"),
        ("adain:resnet18", {"num_classes": 3}, "adain:resnet18 has no classes"),
        ("pixels:resnet18", {"start": "end"}, "unknown start 'end'"),
        ("pixels:resnet18", {"style_layers": ()}, r"style_layers=\(\) needs at least"),
        ("pixels:resnet18", {"mean": (0.0,)}, "attribute of pixels:resnet18 'mean'"),
        ("johnson", {"width": 0}, "width=0 must be at least 1"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, **attributes)


def test_impossible_images():
    unknown = tiny("pixels", style_layers=("fire33",))
    x = jnp.zeros((1, 2, 16, 16, 3))
    with pytest.raises(UserError, match="module of SqueezeNet 'fire33'"):
        jax.eval_shape(lambda x: unknown.init(jax.random.key(0), x, False), x)
    with pytest.raises(
        UserError, match="side of 4 pixels are too small for reflection padding of 4"
    ):
        models.create("johnson").init(jax.random.key(0), x[:, 0, :4, :4], False)
