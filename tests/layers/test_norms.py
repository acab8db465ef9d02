"""Normalization layers by name, against the formulas of their papers in NumPy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.layers import norms

# The dimensions over which each normalization averages maps in which channels are split
# into (groups, channels of a group): [batch, height, width, groups, channels].
AXES = {
    "batch": (0, 1, 2),
    "group": (1, 2, 4),
    "layer": (1, 2, 3, 4),
    "instance": (1, 2),
}
EPSILON = 1e-5


class Normalized(nn.Module):
    """A normalization layer as the networks make and apply it."""

    name_of_norm: str
    options: tuple = ()
    attributes: tuple = ()
    train: bool = True

    @nn.compact
    def __call__(self, x):
        norm = layers.norm(self.name_of_norm, self.train, **dict(self.options))
        return layers.normalized(norm, x, "norm", **dict(self.attributes))


def maps(batch=3, channels=8, space=(4, 5)):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(2, 3, (batch, *space, channels)), jnp.float32)


def run(model, x):
    """The output, and the variables, whose scale and bias are random."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda s: rng.uniform(0.5, 1, s.shape), shapes)
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["batch_stats"]))
    y, updates = apply(variables, x)
    return np.asarray(y), variables, updates


@pytest.mark.parametrize("name", AXES)
def test_formulas(name):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias; two groups by default."""
    x = maps()
    y, variables, updates = run(Normalized(name), x)
    split = np.asarray(x, np.float64).reshape(*x.shape[:-1], 2, 4)
    mean = split.mean(AXES[name], keepdims=True)
    variance = split.var(AXES[name], keepdims=True)
    expected = ((split - mean) / np.sqrt(variance + EPSILON)).reshape(x.shape)
    own = variables["params"]["norm"]
    assert own.keys() == {"scale", "bias"}
    np.testing.assert_allclose(y, expected * own["scale"] + own["bias"], atol=2e-5)
    assert bool(updates) == (name == "batch")


def test_none_is_no_layer():
    assert layers.norm("none", True) is None
    x = maps()
    y, variables, _ = run(Normalized("none"), x)
    np.testing.assert_array_equal(y, x)
    assert variables == {}


@pytest.mark.parametrize("name", [*AXES, "none"])
def test_examples_alone(name):
    """Only batch normalization mixes the examples of a training batch."""
    x = maps()
    model = Normalized(name)
    together, alone = run(model, x)[0], run(model, x[:1])[0]
    assert np.allclose(together[:1], alone, atol=1e-5) == (name != "batch")


@pytest.mark.parametrize("name", ["group", "layer", "instance"])
def test_evaluation_is_as_training(name):
    x = maps()
    outputs = [run(Normalized(name, train=train), x)[0] for train in (True, False)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("name", ["group", "layer"])
def test_gradients_with_one_example(name):
    """Gradients are finite, also if all values of the example are equal."""
    model = Normalized(name)
    params = {"norm": {"scale": jnp.ones(8), "bias": jnp.ones(8)}}

    @jax.jit
    def gradients(params, x):
        loss = lambda params, x: jnp.sum(model.apply({"params": params}, x) ** 3)  # noqa: E731
        return jax.grad(loss, (0, 1))(params, x)

    for x in (maps(batch=1), jnp.ones((1, 4, 5, 8))):
        leaves = jax.tree.leaves(gradients(params, x))
        assert all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [
        *((1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (16, 4), (20, 5), (24, 6)),
        *((64, 16), (96, 24), (128, 32), (130, 26), (1001, 13), (2048, 32)),
    ],
)
def test_default_groups(channels, groups):
    assert norms.default_groups(channels) == groups


def test_groups():
    x = maps(channels=12)
    y, variables, _ = run(Normalized("group", (("groups", 3),)), x)
    split = np.asarray(x).reshape(*x.shape[:-1], 3, 4)
    mean, std = (f(split, axis=(1, 2, 4), keepdims=True) for f in (np.mean, np.std))
    own = variables["params"]["norm"]
    expected = ((split - mean) / std).reshape(x.shape) * own["scale"] + own["bias"]
    np.testing.assert_allclose(y, expected, atol=1e-4)
    model = Normalized("group", (("groups", 5),))
    with pytest.raises(UserError, match="norm_groups=5 must divide"):
        model.init(jax.random.key(0), x)


@pytest.mark.parametrize("name", [*AXES, "flax.linen.RMSNorm"])
def test_attributes_of_all_layers_and_of_one(name):
    """The dtype holds for all layers; a block starts one layer at zero."""
    options = (("dtype", jnp.bfloat16), ("no_field_of_layers", 1))
    attributes = (("scale_init", nn.initializers.zeros),)
    model = Normalized(name, options, attributes, train=False)
    y, variables = jax.jit(model.init_with_output)(jax.random.key(0), maps())
    assert y.dtype == jnp.bfloat16 and not y.any()
    assert variables["params"]["norm"]["scale"].dtype == jnp.float32


@pytest.mark.parametrize("train", [True, False])
def test_batch_normalization_is_the_layer_of_all_networks(train):
    attributes = {"sync": True, "dtype": jnp.bfloat16, "epsilon": 0.001}
    expected = layers.batch_norm(train, **attributes)(name="norm1")
    assert layers.norm("batch", train, **attributes)(name="norm1") == expected
    assert layers.norm("batch", train)() == layers.batch_norm(train)()
    # Other layers average nothing over devices.
    assert layers.norm("layer", train, sync=True)().axis_name is None


class Halved(nn.Module):
    """A user's layer, without any of the fields that networks set."""

    @nn.compact
    def __call__(self, x):
        return x / 2


class Cropped(nn.Module):
    """A layer that is no normalization."""

    @nn.compact
    def __call__(self, x):
        return x[:, 1:]


class Broken(nn.Module):
    """A layer with an error."""

    @nn.compact
    def __call__(self, x):
        raise KeyError("scale")


def test_a_layer_by_its_import_path():
    x = maps()
    y, variables, _ = run(Normalized(f"{__name__}.Halved"), x)
    np.testing.assert_array_equal(y, x / 2)
    assert variables == {}
    y, variables, _ = run(Normalized("flax.linen.LayerNorm"), x)
    assert variables["params"].keys() == {"norm"}
    _, _, updates = run(Normalized("flax.linen.BatchNorm"), x)
    assert updates["batch_stats"]["norm"].keys() == {"mean", "var"}


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("groups", (), r"unknown norm 'groups'\. Did you mean 'group'"),
        ("jax.nn.relu", (), r"must be a subclass of flax\.linen\.Module"),
        (f"{__name__}.Cropped", (), r"shape \(3, 3, 5, 8\) for a map of shape"),
        (f"{__name__}.Broken", (), r"Broken'.*failed: KeyError: 'scale'"),
        (
            f"{__name__}.Halved",
            (("scale_init", nn.initializers.zeros),),
            "has no field scale_init, which this network sets in norm",
        ),
    ],
)
def test_impossible_norms(name, attributes, message):
    with pytest.raises(UserError, match=message):
        Normalized(name, attributes=attributes).init(jax.random.key(0), maps())


def test_instance_normalization_of_one_pixel():
    with pytest.raises(UserError, match="norm: the normalization of one value is alw"):
        Normalized("instance").init(jax.random.key(0), maps(space=(1, 1)))
