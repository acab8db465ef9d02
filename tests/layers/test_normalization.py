"""Normalization: NumPy written from the papers' formulas, and PyTorch's numbers."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    BATCH_AXIS,
    FROZEN,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    adaptive_instance_norm,
    channel_moments,
)

EPSILON = 1e-5


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return jnp.asarray(3 + 2 * rng.standard_normal((8, 4, 4, 3)), jnp.float32)


# Few: each compiles.
SHAPES = [(2, 3, 1), (4, 1, 4, 2), (2, 3, 2, 6), (3, 2, 1, 4, 4)]


@st.composite
def inputs(draw):
    """(input of one to three dimensions in space, scale, bias), in float64."""
    shape = draw(st.sampled_from(SHAPES))
    channels = shape[-1]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    x = rng.uniform(-3, 3, channels) + 2 * rng.standard_normal(shape)
    return x, *rng.standard_normal((2, channels))


def standardized(x, axes):
    mean = x.mean(axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON)


def run(module, x, params, **collections):
    """Output and updated collections, computed in float32."""
    to_jax = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)  # noqa: E731
    variables = {"params": params, **collections}
    return compiled(module)(to_jax(variables), to_jax(x))


@functools.cache
def compiled(module):
    return jax.jit(lambda v, x: module.apply(v, x, mutable=["batch_stats"]))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=8, deadline=None)
@given(inputs())
def test_batch_norm_matches_its_formula(case):
    x, scale, bias = case
    params = {"scale": scale, "bias": bias}
    axes = tuple(range(x.ndim - 1))
    mean, variance = np.full(x.shape[-1], 0.5), np.full(x.shape[-1], 2.0)
    stats = {"mean": mean, "var": variance}

    y, updates = run(BatchNorm(use_running_average=False), x, params, batch_stats=stats)
    close(y, standardized(x, axes) * scale + bias)
    close(updates["batch_stats"]["mean"], 0.9 * mean + 0.1 * x.mean(axes))
    close(updates["batch_stats"]["var"], 0.9 * variance + 0.1 * x.var(axes))

    y, updates = run(BatchNorm(use_running_average=True), x, params, batch_stats=stats)
    close(y, (x - mean) / np.sqrt(variance + EPSILON) * scale + bias)
    close(updates["batch_stats"]["mean"], mean)


@settings(max_examples=8, deadline=None)
@given(inputs())
def test_layer_and_group_norm_match_their_formulas(case):
    x, scale, bias = case
    params = {"scale": scale, "bias": bias}
    channels = x.shape[-1]

    y, _ = run(LayerNorm(), x, params)
    close(y, standardized(x, -1) * scale + bias)

    for size in (size for size in (1, 2, 3, channels) if channels % size == 0):
        groups = [x[..., i : i + size] for i in range(0, channels, size)]
        axes = tuple(range(1, x.ndim))
        expected = np.concatenate([standardized(g, axes) for g in groups], -1)
        for norm in (GroupNorm(channels // size), GroupNorm(group_size=size)):
            y, _ = run(norm, x, params)
            close(y, expected * scale + bias)


def test_statistics_of_one_step(x):
    norm = BatchNorm(use_running_average=False)
    variables = norm.init(jax.random.key(0), x)
    y, updates = norm.apply(variables, x, mutable=["batch_stats"])
    mean, var = np.mean(x, (0, 1, 2)), np.var(x, (0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + EPSILON), atol=1e-5)
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-4)


@pytest.mark.parametrize(
    "norm",
    [
        BatchNorm(use_running_average=False, dtype=jnp.bfloat16),
        GroupNorm(1, dtype=jnp.bfloat16),
        LayerNorm(reduction_axes=(1, 2, 3), dtype=jnp.bfloat16),
    ],
)
def test_bfloat16_keeps_float32_statistics(norm):
    # Nearly all values are 1: a sum in bfloat16 would stop at 256, far from the mean.
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16).at[0, 0].set(-31)
    y, variables = norm.init_with_output(jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    expected = standardized(np.array(x, float), (1, 2, 3))
    np.testing.assert_allclose(y.astype(float), expected, rtol=0.01)


def test_synchronized_statistics_are_those_of_the_whole_batch(x):
    norm = BatchNorm(use_running_average=False, axis_name=BATCH_AXIS)
    variables = norm.init(jax.random.key(0), x)  # needs no axis

    def apply(norm, x):
        return norm.apply(variables, x, mutable=["batch_stats"])

    shards = x.reshape(2, 4, *x.shape[1:])
    y, updates = jax.vmap(lambda x: apply(norm, x), axis_name=BATCH_AXIS)(shards)
    whole, whole_updates = apply(BatchNorm(use_running_average=False), x)
    np.testing.assert_allclose(y.reshape(x.shape), whole, atol=1e-5)
    for name, value in whole_updates["batch_stats"].items():
        for shard in updates["batch_stats"][name]:
            np.testing.assert_allclose(shard, value, rtol=1e-5)


@pytest.mark.parametrize("axis_name", [None, BATCH_AXIS])
def test_batch_norm_far_from_zero(axis_name):
    rng = np.random.default_rng(0)
    x = np.float32(1000 + rng.standard_normal((8, 4, 4, 3)))
    norm = BatchNorm(use_running_average=False, axis_name=axis_name)
    variables = norm.init(jax.random.key(0), x)

    def apply(x):
        return norm.apply(variables, x, mutable=["batch_stats"])

    shards = x.reshape(2, 4, 4, 4, 3) if axis_name else x[None]
    y, updates = jax.vmap(apply, axis_name=BATCH_AXIS)(shards)
    exact = x.astype(float)
    expected = standardized(exact, (0, 1, 2))
    np.testing.assert_allclose(y.reshape(x.shape), expected, atol=1e-3)
    for shard in updates["batch_stats"]["var"]:
        variance = 0.9 + 0.1 * exact.var((0, 1, 2))
        np.testing.assert_allclose(shard, variance, rtol=1e-5)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"dtype": jnp.bfloat16},
        {"use_scale": False},
        {"use_scale": False, "use_bias": False},
        {"axis_name": BATCH_AXIS},
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_frozen_batch_norm_is_that_of_evaluation(attributes, dtype, x):
    x = x.astype(dtype)
    norm = partial(BatchNorm, **attributes)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda a: jnp.asarray(rng.uniform(0.5, 2, a.shape), a.dtype),
        norm(use_running_average=False).init(jax.random.key(0), x),
    )
    collection, name = FROZEN
    frozen = variables | {collection: {name: ()}}
    expected = norm(use_running_average=True).apply(variables, x)
    for training in (False, None, True):
        module = norm(use_running_average=training)
        y, updates = module.apply(frozen, x, mutable=["batch_stats"])
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)
        for key, value in updates["batch_stats"].items():
            np.testing.assert_array_equal(value, variables["batch_stats"][key])


def test_batch_norm_leaves_out_masked_examples(x):
    norm = BatchNorm(use_running_average=False, use_scale=False, use_bias=False)
    mask = jnp.arange(8)[:, None, None, None] < 5
    y, _ = norm.apply({}, x, mask=mask, mutable=["batch_stats"])
    alone, _ = norm.apply({}, x[:5], mutable=["batch_stats"])
    np.testing.assert_allclose(y[:5], alone, atol=1e-5)


def test_single_layers_are_frozen(x):
    """Each by its entry; a frozen layer takes maps that training refuses."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = BatchNorm(use_running_average=False, name="first")(x)
            return BatchNorm(use_running_average=False, name="second")(x)

    variables = Net().init(jax.random.key(0), x)
    collection, name = FROZEN
    variables[collection] = {"first": {name: jnp.zeros(())}}
    stats = Net().apply(variables, x, mutable=["batch_stats"])[1]["batch_stats"]
    assert not stats["first"]["mean"].any() and stats["second"]["mean"].any()
    with pytest.raises(UserError, match="second: batch normalization has only one"):
        Net().apply(variables, x[:1, :1, :1], mutable=["batch_stats"])


# PyTorch 2.13, `InstanceNorm2d(2, affine=True)` in float64, of the values below.
INSTANCE_NORM = [
    [[-2.504302, 0.702159], [1.702268, 1.351994]],
    [[-0.701486, 0.214783], [3.505084, 0.864618]],
    [[1.101330, 1.514453], [-1.302425, 0.377241]],
    [[2.904146, 1.027076], [0.500391, 1.676912]],
    [[-1.903363, 0.539700], [2.303207, 1.189535]],
    [[-0.100548, 1.839370], [-2.504302, 0.702159]],
]


def test_instance_norm_matches_pytorch():
    x = (np.arange(24.0).reshape(2, 3, 4) * 7 % 11 - 5) / 2
    params = {"scale": np.array([2, -0.5]), "bias": np.array([0.25, 1])}
    y, _ = run(InstanceNorm(), x.transpose(1, 2, 0).reshape(1, 6, 2, 2), params)
    np.testing.assert_allclose(y[0], INSTANCE_NORM, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(inputs())
def test_instance_norm_matches_its_formula(case):
    x, scale, bias = case
    params = {"scale": scale, "bias": bias}
    space = tuple(range(1, x.ndim - 1))
    y, _ = run(InstanceNorm(), x, params)
    close(y, standardized(x, space) * scale + bias)
    group, _ = run(GroupNorm(group_size=1), x, params)
    close(y, group)
    plain = InstanceNorm(use_scale=False, use_bias=False)
    close(run(plain, x, {})[0], standardized(x, space))
    for found, expected in zip(
        channel_moments(jnp.asarray(x, jnp.float32)),
        (x.mean(space), np.sqrt(x.var(space) + EPSILON)),
        strict=True,
    ):
        close(np.asarray(found).reshape(expected.shape), expected)


@settings(max_examples=8, deadline=None)
@given(inputs(), st.integers(1, 5))
def test_adain_gives_the_moments_of_the_style(case, side):
    content, scale, bias = (np.float32(values) for values in case)
    shape = (len(content), *(side,) * (content.ndim - 2), content.shape[-1])
    style = scale * np.random.default_rng(0).standard_normal(shape) + bias
    style = style.astype(np.float32)
    y = adaptive_instance_norm(jnp.asarray(content), jnp.asarray(style))
    space = tuple(range(1, content.ndim - 1))
    mean = style.mean(space, keepdims=True)
    std = np.sqrt(style.var(space, keepdims=True) + EPSILON)
    close(y, standardized(content, space) * std + mean)


@pytest.mark.parametrize("norm", [LayerNorm(), GroupNorm(1), GroupNorm(group_size=2)])
def test_values_near_each_other(norm):
    x = np.array([[[100, 100.25]]])
    y, _ = run(norm, x, {"scale": np.ones(2), "bias": np.zeros(2)})
    np.testing.assert_allclose(y, standardized(x, -1), rtol=1e-5)


def test_group_norm_is_one_layer():
    calls = []

    def record(call, args, kwargs, context):
        calls.append(context.method_name)
        return call(*args, **kwargs)

    norm = GroupNorm(group_size=2)
    with nn.intercept_methods(record):
        variables = norm.init(jax.random.key(0), jnp.ones((2, 3, 6)))
    assert calls == ["__call__"]
    assert variables["params"]["scale"].shape == (6,)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (GroupNorm(), "GroupNorm: num_groups=32 must divide .* channels, 6"),
        (GroupNorm(4), "num_groups=4 must divide .* 6"),
        (GroupNorm(0), "num_groups=0 must divide .* 6"),
        (GroupNorm(group_size=5), "group_size=5 must divide .* 6"),
    ],
)
def test_groups_that_do_not_divide_the_channels(norm, message):
    with pytest.raises(UserError, match=message):
        norm.init(jax.random.key(0), jnp.ones((2, 3, 6)))


# PyTorch 2.13, `local_response_norm(x, size, alpha=0.5, beta=0.75, k=2.0)` in float64.
CHANNELS = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0]
PYTORCH = {
    1: [0.502973, -0.707107, 0.736947, -0.711312, 0.672890, -0.634423, 0.599327],
    2: [0.544331, -0.826261, 0.864971, -0.821712, 0.763604, -0.708858, 0.661121],
    3: [0.457906, -0.665907, 0.709818, -0.694032, 0.661517, -0.626606, 0.868226],
    4: [0.484901, -0.742175, 0.807924, -0.786238, 0.741033, -0.693829, 0.885396],
    5: [0.399384, -0.598140, 0.661950, -0.662240, 0.640061, -0.803316, 1.022446],
}


@pytest.mark.parametrize("size", PYTORCH)
def test_local_response_norm_matches_pytorch(size):
    norm = LocalResponseNorm(size, alpha=0.5, beta=0.75, k=2.0)
    y = norm.apply({}, jnp.asarray(CHANNELS).reshape(1, 1, 7))
    np.testing.assert_allclose(y[0, 0], PYTORCH[size], atol=2e-6)


@settings(max_examples=8, deadline=None)
@given(inputs(), st.integers(1, 7), st.floats(0.1, 1), st.floats(0.25, 1.5))
def test_local_response_norm_and_its_gradient(case, size, alpha, beta):
    x = case[0]
    k = 1.5
    module = LocalResponseNorm(size, alpha, beta, k)
    g = np.random.default_rng(0).standard_normal(x.shape)

    @jax.jit
    def run(x, g):
        y, back = jax.vjp(lambda x: module.apply({}, x), x)
        return y, back(g)[0]

    y, gradient = run(jnp.asarray(x, jnp.float32), jnp.asarray(g, jnp.float32))

    def channel_by_channel(x):
        y = np.zeros_like(x)
        for c in range(x.shape[-1]):
            near = x[..., max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
            energy = k + alpha / size * (near**2).sum(-1)
            y[..., c] = x[..., c] / energy**beta
        return y

    np.testing.assert_allclose(y, channel_by_channel(x), rtol=1e-4, atol=1e-5)
    # Channels of different pixels do not meet: one difference for each channel.
    step = 1e-5 * np.eye(x.shape[-1])
    slopes = np.stack(
        [
            (g * (channel_by_channel(x + d) - channel_by_channel(x - d))).sum(-1) / 2e-5
            for d in step
        ],
        -1,
    )
    np.testing.assert_allclose(gradient, slopes, rtol=1e-3, atol=1e-4)


def test_local_response_norm_of_alexnet():
    # Krizhevsky et al. 2012, section 3.3: k=2, n=5, alpha=1e-4, beta=0.75, where
    # alpha is not divided by n.
    x = np.random.default_rng(0).uniform(0, 100, (1, 2, 2, 8))
    y = LocalResponseNorm(5, 5e-4, 0.75, 2.0).apply({}, jnp.asarray(x, jnp.float32))
    near = x[..., 1:6]  # those of channel 3
    expected = x[..., 3] / (2 + 1e-4 * (near**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(y[..., 3], expected, rtol=1e-5)


def test_local_response_norm_accumulates_in_float32():
    x = jnp.ones((1, 2, 2, 1024), jnp.bfloat16)
    y = LocalResponseNorm(1023, alpha=1023.0, beta=1.0, k=0.0).apply({}, x)
    assert y.dtype == jnp.bfloat16
    middle = y[0, 0, 0, 511].astype(jnp.float32)
    np.testing.assert_allclose(middle, 1 / 1023, rtol=0.005)


def test_local_response_norm_over_no_channels():
    with pytest.raises(UserError, match="size=0 of local response normalization"):
        LocalResponseNorm(0).apply({}, jnp.ones((1, 2, 3)))


@pytest.mark.parametrize(
    ("module", "shape", "options"),
    [
        (BatchNorm(), (1, 1, 1, 3), {"use_running_average": False}),
        (BatchNorm(), (1, 3), {"use_running_average": False}),
        (InstanceNorm(), (4, 1, 1, 3), {}),
        (GroupNorm(group_size=1), (4, 1, 1, 3), {}),
    ],
)
def test_one_value_cannot_be_normalized(module, shape, options):
    x = jnp.ones(shape)
    with pytest.raises(UserError, match=f"{type(module).__name__}: .* one value"):
        module.apply({}, x, **options)


def test_one_value_is_normalized_by_running_averages_and_over_devices():
    norm, x = BatchNorm(axis_name=BATCH_AXIS), jnp.ones((2, 1, 1, 1, 3))
    variables = norm.init(jax.random.key(0), x[0], use_running_average=False)
    norm.apply(variables, x[0], use_running_average=True)

    def step(x):
        return norm.apply(variables, x, False, mutable=["batch_stats"])

    for devices in (1, 2):
        mapped = jax.vmap(step, axis_name=BATCH_AXIS)
        if devices == 2:
            jax.eval_shape(mapped, x)
        else:
            with pytest.raises(UserError, match="one value"):
                jax.eval_shape(mapped, x[:1])
