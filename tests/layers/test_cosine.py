"""Cosines and lengths against scikit-learn and at their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

from cnn_jax import layers

vectors = arrays.arrays(
    np.float32,
    (3, 4),
    elements=st.floats(-1000, 1000, width=16),
)


@settings(deadline=None)
@given(vectors)
def test_lengths_are_one_but_for_the_shortest(x):
    found = layers.l2_normalize(jnp.asarray(x))
    lengths = np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    expected = normalize(x.astype(float)) * np.minimum(lengths / 1e-6, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


gradient = jax.jit(jax.grad(lambda x: layers.l2_normalize(x)[:, 0].sum()))


@settings(deadline=None)
@given(vectors)
def test_the_gradient_is_finite(x):
    assert np.isfinite(gradient(jnp.asarray(x))).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_cosines(dtype):
    layer = layers.CosineDense(4)
    x = jax.random.normal(jax.random.key(0), (3, 6), dtype)
    variables = layer.init(jax.random.key(1), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (6, 4) and variables["params"].keys() == {"kernel"}
    found = layer.apply(variables, x)
    assert found.dtype == jnp.float32
    expected = cosine_similarity(np.asarray(x, np.float32), kernel.T)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
