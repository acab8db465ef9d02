import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.layers import SqueezeExcitation


def random_params(channels, hidden, seed=0):
    rng = np.random.default_rng(seed)

    def dense(inputs, outputs):
        return {
            "kernel": rng.standard_normal((inputs, outputs)),
            "bias": rng.standard_normal(outputs),
        }

    return {"reduce": dense(channels, hidden), "expand": dense(hidden, channels)}


def reference(x, params):
    """Hu et al. 2018, equations 2 to 4, example by example."""
    y = np.zeros_like(x)
    for i, maps in enumerate(x):
        z = np.array([maps[..., c].mean() for c in range(x.shape[-1])])
        hidden = np.maximum(
            z @ params["reduce"]["kernel"] + params["reduce"]["bias"], 0
        )
        s = hidden @ params["expand"]["kernel"] + params["expand"]["bias"]
        y[i] = maps / (1 + np.exp(-s))
    return y


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
def test_matches_numpy(space, channels, reduction, seed):
    module = SqueezeExcitation(reduction)
    x = np.random.default_rng(seed).standard_normal((2, *space, channels))
    params = random_params(channels, max(channels // reduction, 1), seed)
    y = jax.jit(module.apply)({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(y, reference(x, params), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "reduction", "hidden"), [(64, 16, 4), (10, 4, 2), (3, 16, 1)]
)
def test_parameters(channels, reduction, hidden):
    module = SqueezeExcitation(reduction)
    x = jax.ShapeDtypeStruct((1, 4, 4, channels), jnp.bfloat16)
    params = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    assert jax.tree.map(lambda leaf: leaf.shape, params) == {
        "reduce": {"kernel": (channels, hidden), "bias": (hidden,)},
        "expand": {"kernel": (hidden, channels), "bias": (channels,)},
    }
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_gate_is_computed_in_float32():
    # Means whose small differences the gate amplifies: bfloat16 would round them away.
    x = np.full((1, 8, 8, 2), 1, np.float32)
    x[0, :4, :, 1] += 2**-7
    params = {
        "reduce": {"kernel": np.array([[-512.0], [512.0]]), "bias": np.zeros(1)},
        "expand": {"kernel": np.array([[1.0, -1.0]]), "bias": np.zeros(2)},
    }
    y = SqueezeExcitation(2).apply({"params": params}, jnp.asarray(x, jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    expected = reference(x.astype(float), params)
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.01)


def test_impossible_reduction():
    with pytest.raises(UserError, match="reduction=0 must be at least 1"):
        SqueezeExcitation(0)
