"""The network for CIFAR-10 of Jin et al. 2014, "Flattened Convolutional Neural Networks
for Feedforward Acceleration" (arXiv 1412.5474).

Module names: `conv1`, `pool1`, `conv2_1`, `conv2_2`, `pool2`, ..., `flatten`, `fc1`,
`fc2`, `head`; a full convolution is `conv2`.
"""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Layers, Positive, Rate
from cnn_jax.layers import initializers
from cnn_jax.models import strides
from cnn_jax.models.classifier import Classifier, Logits, scaled
from cnn_jax.models.spec import CIFAR, ModelSpec, unpublished

CHANNELS = (96, 128, 256)


class FlattenedNet(Classifier, kw_only=True):
    """Three 5x5 convolutions, each with ReLU and 2x2 max pooling, and two hidden layers
    of 256 units. Filters can be split into one-dimensional filters.

    The sizes of the layers are not checked against the paper: check them before you
    compare with its figures.

    A cascade of `layers.FlattenedConv` replaces a convolution. It has biases, no
    non-linearities in between, and the output size of the convolution (figure 2 of the
    paper). The second and third convolution then have 10 and 8 times fewer parameters.
    Kernels start so that a cascade keeps the variance, as one convolution does with the
    initialization of He et al. 2015. See `Classifier` for other heads.

    Attributes:
      flattened: the numbers, from 1 to 3, of the convolutions that are replaced. By
        default the first convolution is kept: on three channels, a cascade of two would
        have more parameters. () is the paper's baseline with full convolutions.
      cascade: flattened layers in place of each convolution; the paper chose two by
        cross-validation.
      width_multiplier: scales the channels of the convolutions, rounded.

    Raises:
      UserError: an attribute has an invalid value, or the image is too small.
    """

    default_head_width: ClassVar[tuple[int, ...]] = (256, 256)

    head: str = "flatten_fc"
    dropout: Rate = 0.5
    flattened: tuple[Layers, ...] = (2, 3)
    cascade: Layers = 2
    width_multiplier: Positive = 1.0

    def validate(self) -> None:
        if not set(self.flattened) <= {1, 2, 3}:
            raise UserError(
                f"flattened={tuple(self.flattened)} must contain only numbers from 1 "
                "to 3, the numbers of the convolutions."
            )

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2,) * len(CHANNELS)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        linear = initializers.lecun_normal()
        rectified = layers.kaiming_normal_fan_out
        for i, step in enumerate(self.plan(), start=1):
            kind: type[nn.Module] = layers.Conv
            parts = {f"conv{i}": rectified}
            if i in self.flattened:
                kind = layers.FlattenedConv
                parts = {f"conv{i}_{j + 1}": linear for j in range(self.cascade)}
                parts[f"conv{i}_{self.cascade}"] = rectified
            last = [*parts][-1]
            for name, init in parts.items():
                x = kind(
                    scaled(CHANNELS[i - 1], self.width_multiplier),
                    5,
                    padding=step.padding(2),
                    dilation=step.before,
                    use_bias=norm is None or name != last,
                    kernel_init=init,
                    dtype=self.dtype,
                    name=name,
                )(x)
            x = self.activate(layers.normalized(norm, x, f"conv{i}_norm"))
            x = strides.pool(layers.MaxPool, x, 2, step, name=f"pool{i}")
        return self.classify(x, train, size=size)


VARIANTS = {
    "flattenednet": ModelSpec(
        FlattenedNet,
        unpublished(CIFAR, 10, "Jin et al. 2014"),
        tiny={"width_multiplier": 1 / 8},
    ),
}
