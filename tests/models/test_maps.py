"""The maps inside networks, beside what the networks themselves compute."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.models import maps

relu = partial(np.maximum, 0)


def same(x):
    return x


# Attributes that make a network small, the images' size, and for each stride the map's
# size and channels, the layer that makes it, and what follows the layer.
NETWORKS = {
    "resnet18": (
        {"width": 4},
        (64, 96),
        {4: ((16, 24, 4), "stage1_block2", same)}
        | {8: ((8, 12, 8), "stage2_block2", same)}
        | {16: ((4, 6, 16), "stage3_block2", same)}
        | {32: ((2, 3, 32), "stage4_block2", same)},
    ),
    "resnet20": (
        {"width": 4, "stage_sizes": (1, 1, 1)},
        (18, 24),
        {1: ((18, 24, 4), "stage1_block1", same)}
        | {2: ((9, 12, 8), "stage2_block1", same)}
        | {4: ((5, 6, 16), "stage3_block1", same)},
    ),
    "squeezenet1_0": (
        {"width_multiplier": 1 / 8},
        (96, 96),
        {2: ((45, 45, 12), "conv1", relu), 4: ((22, 22, 32), "fire4", same)}
        | {8: ((11, 11, 64), "fire8", same), 16: ((5, 5, 64), "fire9", same)},
    ),
    "vgg11_bn": (
        {"width": 4},
        (64, 64),
        {1: ((64, 64, 4), "norm1_1", relu), 2: ((32, 32, 8), "norm2_1", relu)}
        | {4: ((16, 16, 16), "norm3_2", relu), 8: ((8, 8, 32), "norm4_2", relu)}
        | {16: ((4, 4, 32), "norm5_2", relu), 32: ((2, 2, 32), "pool5", same)},
    ),
    "mobilenet_v2": (
        {"width_multiplier": 1 / 8},
        (64, 64),
        {2: ((32, 32, 8), "stage1_block1", same)}
        | {4: ((16, 16, 8), "stage2_block2", same)}
        | {8: ((8, 8, 8), "stage3_block3", same)}
        | {16: ((4, 4, 16), "stage5_block3", same)}
        | {32: ((2, 2, 1280), "last_norm", lambda x: np.clip(x, 0, 6))},
    ),
    "googlenet_bn": (
        {"width_multiplier": 1 / 16},
        (64, 64),
        {2: ((32, 32, 4), "conv1", same), 4: ((16, 16, 12), "conv3", same)}
        | {8: ((8, 8, 30), "inception3b", same)}
        | {16: ((4, 4, 52), "inception4e", same)}
        | {32: ((2, 2, 64), "inception5b", same)},
    ),
    "densenet121": (
        {"growth_rate": 4, "init_features": 8, "block_sizes": (2, 1, 1, 1)},
        (64, 64),
        {4: ((16, 16, 16), "denseblock1_layer2", same)}
        | {8: ((8, 8, 12), "denseblock2_layer1", same)}
        | {16: ((4, 4, 10), "denseblock3_layer1", same)}
        | {32: ((2, 2, 9), "norm", relu)},
    ),
}

# Of these, the last map is compared with that of `models.features` too.
FEATURES = ("resnet20", "squeezenet1_0", "densenet121")


QUICK = ("resnet20", "squeezenet1_0")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.full) for n in NETWORKS],
)
def test_maps_are_the_networks_own(name, random_variables):
    attributes, size, expected = NETWORKS[name]
    model = models.create(name, num_classes=3, **attributes)
    variables = random_variables(model, (*size, 3))
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))

    def of(backbone, x):
        return maps.by_stride(backbone, x, False)

    apply = nn.apply(of, model, mutable=["intermediates"], capture_intermediates=True)
    found, state = jax.jit(apply)(variables, x)
    assert list(found) == list(expected)
    for stride, (shape, layer, behind) in expected.items():
        assert found[stride].shape == (2, *shape)
        (output,) = state["intermediates"][layer]["__call__"]
        np.testing.assert_allclose(found[stride], behind(output), rtol=1e-5, atol=1e-5)
        assert np.std(found[stride]) > 0
    if name in FEATURES:
        last = jax.jit(models.features, static_argnums=0)(model, variables, x)
        np.testing.assert_allclose(found[max(found)], last, rtol=1e-5, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "googlenet_bn"])
def test_heads_are_not_made(name):
    attributes, size, _ = NETWORKS[name]
    model = models.create(name, num_classes=3, **attributes)
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)

    def of(backbone, x):
        return maps.by_stride(backbone, x, False)

    ours = jax.eval_shape(lambda x: nn.init(of, model)(jax.random.key(0), x), x)
    whole = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, False), x)
    ours, whole = flatten_dict(ours), flatten_dict(whole)
    left_out = {path[1] for path in whole.keys() - ours.keys()}
    assert ours.items() <= whole.items()
    heads = {"resnet18": {"head"}, "vgg11_bn": {"fc1", "fc2", "head"}}
    assert left_out == heads.get(name, {"head", "aux1", "aux2"})


class Mean(nn.Module):
    """The mean of all values of all maps."""

    backbone: nn.Module

    @nn.compact
    def __call__(self, x, train):
        return sum(map(jnp.mean, maps.by_stride(self.backbone, x, train).values()))


def test_training_inside_of_another_module(random_variables):
    """Gradients arrive, and batch statistics are those of the network by itself."""
    model = models.create("resnet20", num_classes=3, width=4, stage_sizes=(1, 1))
    variables = random_variables(model, (8, 8, 3))
    params = {k: v for k, v in variables["params"].items() if k != "head"}
    inside = {
        kind: {"backbone": tree}
        for kind, tree in (variables | {"params": params}).items()
    }
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))

    @jax.jit
    def both(inside):
        def mean(params):
            return Mean(model).apply(
                inside | {"params": params}, x, True, mutable=["batch_stats"]
            )

        (_, stats), grads = jax.value_and_grad(mean, has_aux=True)(inside["params"])
        _, own = model.apply(variables, x, True, mutable=["batch_stats"])
        return stats["batch_stats"]["backbone"], own["batch_stats"], grads

    stats, own, grads = both(inside)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), stats, own)
    assert all(np.abs(grad).max() > 0 for grad in jax.tree.leaves(grads))


def test_images_smaller_than_a_stride():
    model = models.create("resnet18", num_classes=3, width=4)
    with pytest.raises(
        UserError, match=r"images of 32x31 are too small.*at least 32x32"
    ):
        jax.eval_shape(
            lambda x: Mean(model).init(jax.random.key(0), x, False),
            jnp.zeros((1, 32, 31, 3)),
        )


@pytest.mark.full
def test_maps_of_modules_are_what_they_return(random_variables):
    """In the order of the names, those inside of others too."""
    model = models.create("squeezenet1_0", num_classes=3, width_multiplier=1 / 8)
    variables = random_variables(model, (96, 96, 3))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 96, 96, 3)), jnp.float32)
    _, state = model.apply(variables, x, False, capture_intermediates=True)
    captured = flatten_dict(state["intermediates"], sep="/")
    names = ("fire5", "conv1", "fire3/squeeze", "pool8")
    found = nn.apply(partial(maps.by_name, names=names), model)(variables, x)
    assert tuple(found) == names
    for name, y in found.items():
        (expected,) = captured[f"{name}/__call__"]
        np.testing.assert_allclose(y, expected, atol=1e-6)
    with pytest.raises(UserError, match="module of SqueezeNet 'head'"):
        nn.apply(partial(maps.by_name, names=("head",)), model)(variables, x)
