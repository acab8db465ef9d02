"""The fully connected layer."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from flax.linen.dtypes import promote_dtype

from cnn_jax.layers import arithmetic, formulas
from cnn_jax.layers.described import Described, Shape


class FullyConnected(Described):
    """A mixin that states the multiply-accumulates of a fully connected layer."""

    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        vectors = math.prod(out_shape[:-1])
        return vectors * arithmetic.dense_macs(in_shape[-1], out_shape[-1])


class Dense(FullyConnected, nn.Dense):
    """Linen's `Dense`: x W + b over the last dimension.

    Parameters: `kernel` and, with `use_bias`, `bias`.
    """

    # Linen's field, with a type that can be checked at run time.
    promote_dtype: Callable[..., Any] = promote_dtype

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, after = in_shape[-1], out_shape[-1]
        total = arithmetic.dense_parameters(before, after, use_bias=self.use_bias)
        bias = "" if self.use_bias else ", no bias"
        formula = formulas.weights((before, after), after * self.use_bias, total)
        return "Fully Connected", f"{after} units{bias}; {formula}"
