"""The network of the experiments: what each attribute is, by counts known otherwise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError

SHAPE = (16, 16, 3)


def plain(**attributes):
    attributes = {"widths": (8, 12), "depth": 2, "num_classes": 10} | attributes
    return models.create("plain", **attributes)


def kernels(**attributes):
    """{layer: the number of its kernel's weights}, normalization and head left out."""
    x = jnp.zeros((1, *SHAPE))
    shapes = jax.eval_shape(
        lambda x: plain(**attributes).init(jax.random.key(0), x, train=False), x
    )["params"]
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        names = [entry.key for entry in path]
        if names[-1] == "kernel" and names[0] not in ("head", "fc1"):
            found[names[0]] = found.get(names[0], 0) + leaf.size
    return found


def test_convolutions():
    assert kernels(kernel_size=5) == {
        "stage1_layer1": 25 * 3 * 8,
        "stage1_layer2": 25 * 8 * 8,
        "stage2_layer1": 25 * 8 * 12,
        "stage2_layer2": 25 * 12 * 12,
    }


@pytest.mark.parametrize(
    ("layer", "last"),
    [
        ("separable", 9 * 12 + 12 * 12),
        ("flattened", 12 * 12 + 3 * 12 + 3 * 12),
        ("locally_connected", 8 * 8 * 9 * 12 * 12),
        ("fire", 12 * 3 + 3 * 6 + 9 * 3 * 6),
    ],
)
def test_other_layers(layer, last):
    assert kernels(layer=layer)["stage2_layer2"] == last


def test_bottleneck():
    found = kernels(layer="bottleneck", kernel_size=5)
    assert found["stage2_layer2_reduce"] == 12 * 3
    assert found["stage2_layer2"] == 25 * 3 * 12


def test_branches():
    found = kernels(layer="inception")
    last = {k: v for k, v in found.items() if k.startswith("stage2_layer2")}
    assert last == {
        "stage2_layer2_1x1": 12 * 3,
        "stage2_layer2_reduce3x3": 12 * 3,
        "stage2_layer2_3x3": 9 * 3 * 3,
        "stage2_layer2_reduce5x5": 12 * 3,
        "stage2_layer2_5x5": 25 * 3 * 3,
        "stage2_layer2_pool": 12 * 3,
    }
    found = kernels(layer="inception", reduction=None, branches=("5x5", "1x1"))
    assert found["stage2_layer2_5x5"] == 25 * 12 * 6
    # Seven channels over two branches: the first one has one more.
    found = kernels(layer="inception", branches=("5x5", "1x1"), widths=(7,))
    assert found["stage1_layer2_1x1"] == 7 * 3


def test_shared_over_depth():
    found = kernels(depth=4, shared=True)
    # The first layer of each stage changes the channels and is one of its own.
    assert found == {
        "stage1_layer1": 9 * 3 * 8,
        "stage1_shared": 9 * 8 * 8,
        "stage2_layer1": 9 * 8 * 12,
        "stage2_shared": 9 * 12 * 12,
    }
    once, thrice = (
        costs.layer_table(plain(depth=depth, shared=True), SHAPE).macs
        for depth in (2, 4)
    )
    assert thrice - once == 2 * (16 * 16 * 9 * 8 * 8 + 8 * 8 * 9 * 12 * 12)


@pytest.mark.parametrize(
    ("subsample", "size"), [("max", 8), ("average", 8), ("strided", 8), ("none", 16)]
)
def test_size_of_the_last_map(subsample, size):
    model, x = plain(subsample=subsample), jnp.zeros((1, *SHAPE))
    variables = model.init(jax.random.key(0), x, train=False)
    assert models.features(model, variables, x).shape == (1, size, size, 12)


def test_dilations_reach_as_far_as_they_should():
    """A pixel's gradient is within the receptive field, and reaches its corners."""
    model = plain(
        widths=(4,), depth=4, dilations=(1, 2, 4, 8), subsample="none", num_classes=2
    )
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 40, 40, 1)), jnp.float32)
    variables = model.init(jax.random.key(0), x, train=False)

    def center(x):
        return models.features(model, variables, x)[0, 20, 20].sum()

    rows, columns = np.nonzero(np.asarray(jax.grad(center)(x))[0, ..., 0])
    reach = 1 + 2 + 4 + 8
    assert (rows.min(), rows.max()) == (20 - reach, 20 + reach)
    assert (columns.min(), columns.max()) == (20 - reach, 20 + reach)


@pytest.mark.full
def test_filters():
    """Fixed ones are no parameters, and are those of `layers.FILTERS`."""
    names = ("sobel_vertical", "sobel_horizontal")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *SHAPE)), jnp.float32)
    fixed = plain(filters=names)
    variables = fixed.init(jax.random.key(0), x, train=False)
    assert "filters" not in variables["params"]
    assert variables["params"]["filters_norm"]["scale"].shape == (6,)
    _, state = fixed.apply(
        variables, x, train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    (seen,) = state["intermediates"]["filters"]["__call__"]
    np.testing.assert_allclose(
        seen[..., 0], layers.apply_filter(x[..., :1], names[0])[..., 0], atol=1e-5
    )
    learned = plain(filters=names, learn_filters=True)
    start = learned.init(jax.random.key(0), x, train=False)
    np.testing.assert_array_equal(
        start["params"]["filters"]["kernel"][..., 0, 0], layers.FILTERS[names[0]]
    )
    np.testing.assert_allclose(
        learned.apply(start, x, train=False), fixed.apply(variables, x, train=False)
    )
    drawn = plain(random_filters=5).init(jax.random.key(0), x, train=False)
    assert drawn["params"]["filters_norm"]["scale"].shape == (15,)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"layer": "convolution"}, "unknown layer"),
        ({"subsample": "mean"}, "unknown subsample"),
        ({"kernel_size": 4}, "must be odd"),
        ({"dilations": (1, 2)}, "4 entries, one for each layer"),
        ({"dilations": (2,), "layer": "fire"}, "belongs to layer=conv or bottleneck"),
        ({"shared": True, "layer": "separable"}, "belongs to layer=conv"),
        ({"shared": True, "dilations": (1, 2, 1, 2)}, "needs exactly one entry"),
        ({"layer": "bottleneck", "reduction": None}, "needs a value for reduction"),
        ({"layer": "bottleneck", "reduction": 1.5}, "at most 1"),
        ({"branches": ("1x1",)}, "belongs to layer=inception"),
        ({"layer": "inception", "branches": ("7x7",)}, "unknown branch"),
        ({"layer": "fire", "subsample": "strided"}, "set subsample=max"),
        ({"filters": ("sobel",)}, "unknown filter"),
        ({"learn_filters": True}, "needs filters"),
    ],
)
def test_mistakes(attributes, message):
    with pytest.raises(UserError, match=message):
        plain(**attributes)
