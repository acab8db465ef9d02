"""Fully connected layers on unit vectors."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from cnn_jax.layers import formulas, initializers
from cnn_jax.layers.dense import FullyConnected
from cnn_jax.layers.described import Shape

SHORTEST = 1e-6


def l2_normalize(x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
    """Returns each vector divided by its Euclidean length, in float32.

    A vector shorter than 1e-6 is divided by 1e-6, so that zero stays zero and the
    gradient is finite everywhere.
    """
    x = x.astype(jnp.float32)
    squares = jnp.sum(x * x, axis=-1, keepdims=True)
    return x * lax.rsqrt(jnp.maximum(squares, SHORTEST**2))


class CosineDense(FullyConnected, nn.Module):
    """The cosine of the angle between each vector and each column of `kernel`.

    It is a fully connected layer without a bias, in float32, whose input and weights
    are divided by their lengths (Wang et al. 2017, "NormFace"; Deng et al. 2019,
    "ArcFace", section 2.1, whose code also starts from `kernel_init`).

    Attributes:
      features: number of columns of the kernel.
    """

    features: int
    kernel_init: Initializer = initializers.normal(0.01)

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch out"]:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return l2_normalize(x) @ l2_normalize(kernel.T).T

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, after = in_shape[-1], out_shape[-1]
        formula = formulas.weights((before, after), 0, before * after)
        return "Cosines", f"with {after} vectors; {formula}"
