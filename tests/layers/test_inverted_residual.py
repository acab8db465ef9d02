from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.layers import BatchNorm, Conv, InvertedResidual

CONV = partial(Conv, use_bias=False)
NORM = partial(BatchNorm, use_running_average=True)


def block(*args, **kwargs):
    return InvertedResidual(*args, **kwargs, conv=CONV, norm=NORM)


def random_variables(module, x):
    """Returns random initial variables, without compiling the module."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    fill = {
        "kernel": lambda shape: rng.standard_normal(shape, np.float32),
        "scale": np.ones,
        "bias": np.zeros,
        "mean": np.zeros,
        "var": np.ones,
    }
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(fill[path[-1].key](leaf.shape), leaf.dtype),
        shapes,
    )


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((2, 5, 6, 4), np.float32)


def test_expands_filters_and_projects(x):
    y, variables = jax.eval_shape(
        block(6, expand_ratio=3, strides=2).init_with_output, jax.random.key(0), x
    )
    assert y.shape == (2, 3, 3, 6)
    kernels = {
        k: v["kernel"].shape for k, v in variables["params"].items() if "conv" in k
    }
    assert kernels == {
        "expand_conv": (1, 1, 4, 12),
        "depthwise_conv": (3, 3, 1, 12),
        "project_conv": (1, 1, 12, 6),
    }


def test_no_expansion_at_ratio_one(x):
    _, variables = jax.eval_shape(
        block(4, expand_ratio=1).init_with_output, jax.random.key(0), x
    )
    assert set(variables["params"]) == {
        "depthwise_conv",
        "depthwise_norm",
        "project_conv",
        "project_norm",
    }


@pytest.mark.parametrize(
    ("features", "attributes", "added"),
    [
        (4, {}, True),
        (4, {"dilation": 2}, True),
        (4, {"shortcut": False}, False),
        (5, {}, False),
        (4, {"strides": 2}, False),
    ],
)
def test_input_is_added_where_the_shape_allows(features, attributes, added, x):
    # One pixel, so that a stride changes no shape.
    x = x[:, :1, :1]
    module = block(features, **attributes)
    variables = random_variables(module, x)
    # A branch of zeros leaves the shortcut alone.
    variables["params"]["project_norm"]["scale"] *= 0
    y = jax.jit(module.apply)(variables, x)
    np.testing.assert_array_equal(y, x if added else jnp.zeros((2, 1, 1, features)))


def test_last_layer_is_linear_and_the_others_are_cut_at_six(x):
    module = block(4, shortcut=False)
    variables = random_variables(module, x)
    apply = jax.jit(module.apply)
    y = apply(variables, x)
    assert (y < 0).any()
    # Large inputs saturate almost everywhere, and larger ones change nothing.
    large, larger = apply(variables, 1e4 * x), apply(variables, 1e5 * x)
    assert np.isclose(large, larger, atol=1e-2).mean() > 0.9
    assert not np.allclose(y, large)
