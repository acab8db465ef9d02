"""The multi-layer perceptron, the baseline for convolutional networks."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core import ranges
from cnn_jax.core.ranges import Count
from cnn_jax.models.exchangeable import Exchangeable
from cnn_jax.models.spec import ModelSpec, Published


class MLP(Exchangeable, kw_only=True):
    """Fully connected layers on the flattened image or clip.

    With 16x16 images, one hidden layer of 100 and 26 classes it has 256*100 + 100 +
    100*26 + 26 = 28,326 parameters. Weights start as in LeCun et al. 1998 (variance
    1/fan_in), biases at zero. Module names: `flatten`, `hidden1`, ..., `head`; with
    normalization also `hidden1_norm`, ....

    Attributes:
      hidden: units of each hidden layer.
      activation: the non-linearity; see `layers.activation`.

    Raises:
      UserError: the activation is unknown, or an attribute has an invalid value.
    """

    num_classes: Count
    hidden: tuple[Count, ...] = (100,)
    activation: str = "relu"

    def __post_init__(self):
        ranges.check_fields(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *space channels"], train: bool
    ) -> Float[Array, "batch classes"]:
        norm = self.normalization(train)
        x = layers.Flatten(name="flatten")(x)
        for i, features in enumerate(self.hidden):
            name = f"hidden{i + 1}"
            x = layers.Dense(
                features, use_bias=norm is None, dtype=self.dtype, name=name
            )(x)
            x = self.activate(layers.normalized(norm, x, f"{name}_norm"))
        return layers.Dense(self.num_classes, name="head")(x.astype(jnp.float32))


VARIANTS = {
    "mlp": ModelSpec(
        MLP,
        Published((16, 16, 1), 26, 28_326, source="256*100 + 100 + 100*26 + 26"),
        tiny={"hidden": (8,)},
    ),
}
