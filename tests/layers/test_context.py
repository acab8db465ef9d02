"""Context modules against the figures of the paper, and a pyramid written out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers
from cnn_jax.analysis import receptive_field
from cnn_jax.layers import context

# Yu and Koltun 2016, table 1: the field of each layer's outputs, and their channels in
# those of the input.
FIELDS = (3, 5, 9, 17, 33, 65, 67, 67)
CHANNELS = {
    False: (1, 1, 1, 1, 1, 1, 1, 1),
    True: (2, 2, 4, 8, 16, 32, 32, 1),
}


def variables_of(module, x):
    return jax.jit(module.init)(jax.random.key(0), x)


def shapes_of(module, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: module.init(jax.random.key(0), x), x)["params"]


@pytest.mark.parametrize("large", [False, True])
def test_layers_of_the_table(large):
    module = layers.ContextModule(large)
    x = jax.ShapeDtypeStruct((1, 80, 72, 5), jnp.float32)

    def outputs(x):
        _, state = module.init_with_output(
            jax.random.key(0), x, capture_intermediates=True, mutable=True
        )
        found = state["intermediates"]
        return [found[f"conv{i}"]["__call__"][0] for i in range(1, 9)]

    maps, extents = receptive_field.trace(outputs, x)
    assert [y.shape for y in maps] == [(1, 80, 72, 5 * n) for n in CHANNELS[large]]
    for axis in range(2):
        assert tuple(e[axis].receptive_field for e in extents) == FIELDS


def test_parameters():
    """64 C^2 weights of the basic module (section 3), and a bias a channel."""
    for classes in (5, 21):
        params = shapes_of(layers.ContextModule(), (1, 8, 8, classes))
        sizes = [leaf.size for leaf in jax.tree.leaves(params)]
        assert sum(sizes) == 64 * classes**2 + 8 * classes


@pytest.mark.parametrize(
    "space",
    [
        pytest.param((9,), marks=pytest.mark.full),
        (20, 17),
        pytest.param((2, 20, 17), marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_at_first_maps_come_out_as_they_are(large, space):
    """Without what is negative; the large form's noise is small."""
    x = np.random.default_rng(0).normal(1, 1, (2, *space, 3)).astype(np.float32)
    module = layers.ContextModule(large)
    y = jax.jit(module.apply)(variables_of(module, x), x)
    expected = np.maximum(x, 0)
    if large:
        assert 1e-4 < np.abs(y - expected).max() < 0.5
    else:
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (3, 6),
        pytest.param(6, 12, marks=pytest.mark.full),
        pytest.param(12, 12, marks=pytest.mark.full),
        (12, 3),
    ],
)
def test_the_identity_of_equation_5(before, after):
    """Written out, with C = 3."""
    kernel = context.identity(3)(jax.random.key(0), (3, 3, before, after))
    expected = np.zeros((3, 3, before, after))
    for a in range(before):
        for b in range(after):
            if a * 3 // before == b * 3 // after:
                expected[1, 1, a, b] = 3 / after
    np.testing.assert_allclose(kernel, expected)
    noisy = context.identity(3, 0.01)(jax.random.key(0), (3, 3, before, after))
    middle = expected > 0
    np.testing.assert_allclose(noisy[middle], kernel[middle])
    assert np.std(noisy[~middle]) == pytest.approx(0.01 * 3 / after, rel=0.3)


def test_noise_tells_the_maps_of_a_group_apart():
    kernel = context.identity(2, 0.01)(jax.random.key(0), (3, 3, 2, 8))
    columns = np.asarray(kernel).reshape(-1, 8).T
    assert len(np.unique(columns, axis=0)) == 8


def test_frames_of_a_clip_do_not_meet():
    module = layers.ContextModule()
    x = jnp.asarray(np.random.default_rng(0).random((1, 3, 9, 8, 2), np.float32))
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.random(leaf.shape), leaf.dtype), shapes
    )
    whole = module.apply(variables, x)
    frame = module.apply(variables, x[:, 1:2])
    np.testing.assert_allclose(whole[:, 1:2], frame, rtol=1e-5)


# -------------------------------------------------------------------- the pyramid


def test_the_pyramid_written_out():
    """Each branch by itself, over a map of which the largest window sees the border."""
    conv = partial(layers.ConvUnit, norm=layers.batch_norm(False))
    module = layers.ASPP(4, (2, 5), conv)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 9, 7, 3)), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype), shapes
    )

    def unit(name, x, **options):
        own = {kind: tree[name] for kind, tree in variables.items()}
        window = own["params"]["conv"]["kernel"].shape[:2]
        return conv(4, window, **options).apply(own, x)

    mean = unit("pooled", x.mean((1, 2), keepdims=True))
    branches = [
        unit("pointwise", x),
        unit("dilated1", x, dilation=2),
        unit("dilated2", x, dilation=5),
        jnp.broadcast_to(mean, (2, 9, 7, 4)),
    ]
    expected = unit("project", jnp.concatenate(branches, -1))
    y = module.apply(variables, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4)
    kernels = {
        name: tuple(tree["conv"]["kernel"].shape)
        for name, tree in variables["params"].items()
    }
    assert kernels == {
        "pointwise": (1, 1, 3, 4),
        "dilated1": (3, 3, 3, 4),
        "dilated2": (3, 3, 3, 4),
        "pooled": (1, 1, 3, 4),
        "project": (1, 1, 16, 4),
    }


def test_the_pyramid_sees_the_whole_map():
    module = layers.ASPP(2, (1, 3), layers.ConvUnit)
    x = jax.ShapeDtypeStruct((1, 31, 29, 3), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    _, [extents] = receptive_field.trace(module.apply, variables, x)
    assert all(extent.whole for extent in extents)
