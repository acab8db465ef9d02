"""Networks from images to images: published sizes, and what they do to images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import layers, models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError
from cnn_jax.models import enhancement

LARGER = ("srcnn", "espcn", "edsr")


def tiny(name, **attributes):
    return models.create(name, **enhancement.VARIANTS[name].tiny, **attributes)


def variables_of(model, channels=1):
    """Shapes and dtypes."""
    x = jnp.zeros((1, 8, 8, channels))
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, False), x)


def parameters(name, channels, **attributes):
    params = variables_of(models.create(name, **attributes), channels)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_these_are_the_networks_without_classes():
    # That of `test_stylization.py` is none of them.
    images = {n for n in models.MODELS if not models.classifies(n)}
    assert enhancement.VARIANTS.keys() | {"johnson"} == images
    with pytest.raises(UserError, match=r"num_classes=10 .* edsr has no classes"):
        models.create("edsr", num_classes=10)


def conv(size, channels, features, bias=True):
    return size**2 * channels * features + bias * features


def test_published_parameters():
    """Layer by layer from the papers, and the totals of their authors' code."""
    # Dong et al. 2014, section 4.1: 8,032 weights; and as many biases as maps.
    assert parameters("srcnn", 1) == 8_032 + 64 + 32 + 1 == 8_129
    # Shi et al. 2016: l = 3, (f1, n1) = (5, 64), (f2, n2) = (3, 32), f3 = 3.
    for scale in (2, 3, 4):
        expected = conv(5, 1, 64) + conv(3, 64, 32) + conv(3, 32, scale**2)
        assert parameters("espcn", 1, scale=scale) == expected
    # Lim et al. 2017, of RGB images, without the two layers that shift by the mean.
    trunk = conv(3, 3, 64) + (16 * 2 + 1) * conv(3, 64, 64) + conv(3, 64, 3)
    twice, thrice = conv(3, 64, 4 * 64), conv(3, 64, 9 * 64)
    assert parameters("edsr", 3) == trunk + twice == 1_369_859
    assert parameters("edsr", 3, scale=3) == trunk + thrice == 1_554_499
    assert parameters("edsr", 3, scale=4) == trunk + 2 * twice == 1_517_571
    big = {"depth": 32, "features": 256, "residual_scaling": 0.1}
    assert parameters("edsr", 3, scale=2, **big) == 40_729_603
    # Zhang et al. 2017, with two parameters of normalization a map.
    ends = 2 * conv(3, 1, 64, bias=False)
    hidden = 15 * (conv(3, 64, 64, bias=False) + 2 * 64)
    assert parameters("dncnn", 1) == ends + hidden == 556_032


@pytest.mark.parametrize(
    ("name", "attributes", "field"),
    [
        ("srcnn", {"scale": 1}, 13),
        ("espcn", {"scale": 1}, 9),
        ("dncnn", {}, 35),
        ("dncnn", {"depth": 20}, 41),
    ],
)
def test_published_receptive_fields(name, attributes, field):
    table = costs.layer_table(models.create(name, **attributes), (48, 48, 1))
    assert table[-1].receptive_field == (field, field)


@pytest.mark.full
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", enhancement.VARIANTS)
def test_any_size_becomes_float32_images(name, channels, dtype):
    for scale in (1, 2, 3, 4, 6) if name in LARGER else (1,):
        attributes = {"scale": scale} if name in LARGER else {}
        model = tiny(name, dtype=dtype, **attributes)
        assert model.scale == scale

        def apply(key, x, model=model):
            return model.init_with_output(
                key,
                x,
                train=True,
                capture_intermediates=True,
                mutable=["params", "batch_stats", "intermediates"],
            )

        x = jax.ShapeDtypeStruct((2, 7, 10, channels), jnp.float32)
        found, state = jax.eval_shape(apply, jax.random.key(0), x)
        assert found.shape == (2, 7 * scale, 10 * scale, channels)
        assert found.dtype == jnp.float32
        kept = [state["params"], state.get("batch_stats", {})]
        assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}
        maps = state["intermediates"]
        (first,) = maps["stem" if name == "edsr" else "conv1"]["__call__"]
        assert first.dtype == jnp.dtype(dtype or "float32")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(0, 1, (2, 6, 5, 1)), jnp.float32)


@functools.cache
def first(model):
    return jax.jit(lambda x: model.init_with_output(jax.random.key(0), x, False))


@pytest.mark.parametrize("name", enhancement.VARIANTS)
def test_training_starts_at_the_image(name, images):
    """The bicubically enlarged one, and the noisy one."""
    model = tiny(name, **{"residual": True} if name in LARGER else {})
    found, _ = first(model)(images)
    expected = layers.upsample_bicubic(images, model.scale)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", LARGER)
def test_where_the_papers_networks_start(name, images):
    found, _ = first(tiny(name))(images)
    middle = 0.43 if name == "edsr" else 0
    assert np.abs(found - middle).max() < 1
    assert np.std(found) > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LARGER)
def test_what_is_residual(name, channels, random_variables):
    x = jax.random.uniform(jax.random.key(0), (1, 5, 4, channels))
    whole, rest = tiny(name), tiny(name, residual=True)
    variables = random_variables(whole, x.shape[1:])
    made = whole.apply(variables, x, False)
    if name == "edsr":
        gray = (0.4488 + 0.4371 + 0.4040) / 3
        made = made - np.array((0.4488, 0.4371, 0.4040) if channels == 3 else gray)
    expected = made + layers.upsample_bicubic(x, 2)
    found = rest.apply(variables, x, False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@functools.cache
def evaluated(name):
    """The network with random variables, in evaluation, on images of 24x24."""
    model = tiny(name)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(-0.3, 0.5, leaf.shape), leaf.dtype),
        variables_of(model),
    )
    if "batch_stats" in variables:
        stats = variables["batch_stats"]
        variables["batch_stats"] = jax.tree.map(lambda s: jnp.abs(s) + 0.5, stats)
    return jax.jit(lambda x: model.apply(variables, x, False)), model.scale


@pytest.mark.parametrize("name", enhancement.VARIANTS)
@settings(max_examples=8, deadline=None)
@given(down=st.integers(-2, 2), right=st.integers(-2, 2))
def test_what_moves_in_the_image_moves_in_the_result(name, down, right):
    """Away from the border, whose zeros do not move: half a field, and two pixels."""
    network, scale = evaluated(name)
    x = np.random.default_rng(1).random((1, 24, 24, 1), np.float32)
    moved = np.roll(x, (down, right), axis=(1, 2))
    edge = 10 * scale
    before, after = np.asarray(network(x)), np.asarray(network(moved))
    expected = np.roll(before, (down * scale, right * scale), axis=(1, 2))
    inside = np.s_[:, edge:-edge, edge:-edge]
    assert np.std(before[inside]) > 1e-3
    largest = np.abs(before).max()
    np.testing.assert_allclose(after[inside], expected[inside], atol=1e-6 * largest)


@pytest.mark.full
@pytest.mark.parametrize("name", enhancement.VARIANTS)
def test_a_step_lowers_the_loss(name):
    model = tiny(name)
    x = jax.random.uniform(jax.random.key(1), (2, 6, 6, 1))
    # Not what the network starts with, and not beyond its reach.
    target = jnp.clip(layers.upsample_bicubic(x, model.scale) ** 2, 0, 1)
    variables = jax.jit(lambda x: model.init(jax.random.key(0), x, True))(x)
    stats = variables.get("batch_stats", {})

    @jax.jit
    def step(params):
        def loss(params):
            state = {"params": params, "batch_stats": stats}
            found, updates = model.apply(state, x, True, mutable=["batch_stats"])
            return jnp.abs(found - target).mean(), updates.get("batch_stats", {})

        (value, new), grads = jax.value_and_grad(loss, has_aux=True)(params)
        moved = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)
        return value, moved, new

    before, params, new = step(variables["params"])
    after, params, _ = step(params)
    assert after < before
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, new)
    assert all(jax.tree.leaves(changed)) and bool(changed) == (name == "dncnn")


def test_what_a_residual_block_adds_is_scaled():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 3))
    make = functools.partial(enhancement.ResidualBlock, layers.Conv)
    variables = make(1.0).init(jax.random.key(1), x)
    added = make(1.0).apply(variables, x) - x
    found = make(0.1).apply(variables, x)
    np.testing.assert_allclose(found, x + 0.1 * added, atol=1e-6)


def test_the_scaling_of_a_network_is_that_of_its_blocks(random_variables):
    """Blocks that add next to nothing hand on their input, whatever their kernels."""
    x = jax.random.uniform(jax.random.key(0), (1, 5, 4, 1))
    variables = random_variables(tiny("edsr"), x.shape[1:])
    params = dict(variables["params"])
    for block in ("block1", "block2"):
        params[block] = jax.tree.map(jnp.ones_like, params[block])
    for scaling, same in ((1e-30, True), (1.0, False)):
        model = tiny("edsr", residual_scaling=scaling)
        found = [
            model.apply({"params": p}, x, False) for p in (params, variables["params"])
        ]
        assert np.array_equal(*found) == same


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("edsr", {"scale": 0}, "scale=0 must be at least 1"),
        ("edsr", {"depth": 0}, "depth=0 must be at least 1"),
        ("espcn", {"widths": (8,)}, r"widths=\(8,\) needs two entries"),
        ("srcnn", {"widths": (8, 0)}, r"widths=\(8, 0\) must be at least 1"),
        ("dncnn", {"depth": 1}, "depth=1 must be at least 2"),
        ("dncnn", {"features": -1}, "features=-1 must be at least 1"),
        ("dncnn", {"scale": 2}, "unknown attribute of dncnn 'scale'"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, **attributes)
