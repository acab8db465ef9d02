"""Activation functions by name, against NumPy and SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from cnn_jax import layers
from cnn_jax.core.errors import UserError

EXPECTED = {"relu": lambda x: np.maximum(x, 0), "sigmoid": expit, "tanh": np.tanh}


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_values(name):
    x = np.linspace(-6, 6, 25, dtype=np.float32)
    found = layers.activation(name)(jnp.asarray(x))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, EXPECTED[name](x), rtol=1e-5, atol=1e-6)


def test_a_name_that_is_none():
    with pytest.raises(UserError, match=r"activation 'rellu'\. Did you mean 'relu'"):
        layers.activation("rellu")
