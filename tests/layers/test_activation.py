"""Activation functions by name, against NumPy and SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, expit

from cnn_jax import layers
from cnn_jax.core.errors import UserError

# The formulas of PyTorch's documentation.
EXPECTED = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, SELU * np.expm1(x)),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * expit(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "sigmoid": expit,
    "tanh": np.tanh,
}
SELU = 1.6732632423543772


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_values(name):
    x = np.linspace(-8, 8, 33, dtype=np.float32)
    found = layers.activation(name)(jnp.asarray(x))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, EXPECTED[name](x), rtol=1e-5, atol=1e-6)


def square(x):
    return x * x


def total(x):
    return x.sum()


def broken(x):
    raise KeyError("scale")


@pytest.mark.parametrize("name", [f"{__name__}.square", "jax.numpy.arctan"])
def test_a_function_by_its_import_path(name):
    found = layers.activation(name)(jnp.asarray([-2.0, 0.0]))
    expected = {"square": [4, 0], "arctan": [np.arctan(-2), 0]}[name.split(".")[-1]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rellu", r"activation 'rellu'\. Did you mean 'relu'"),
        ("flax.linen.PReLU", r"wrong type \(.*must be a function from an array"),
        (f"{__name__}.SELU", r"wrong type \(float\)"),
        (f"{__name__}.total", "it must return an array of the same shape and dtype"),
        (f"{__name__}.broken", "broken'.* failed: KeyError: 'scale'"),
    ],
)
def test_impossible_activations(name, message):
    with pytest.raises(UserError, match=message):
        layers.activation(name)
