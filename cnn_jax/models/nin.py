"""Network in network (Lin et al. 2014, "Network In Network").

Module names, as in the authors' release: `conv1`, `cccp1`, `cccp2`, `pool1`,
`conv2`, `cccp3`, `cccp4`, `pool2`, `conv3`, `cccp5`, `head` (cccp6), `pool`.
"""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Positive, Rate
from cnn_jax.models import strides
from cnn_jax.models.classifier import Classifier, Logits, scaled
from cnn_jax.models.spec import CIFAR, ModelSpec, Published


class NIN(Classifier, kw_only=True):
    """Three convolutions, each followed by two 1x1 convolutions, without a fully
    connected layer.

    This is the paper's network for CIFAR-10. The 1x1 convolutions act as a small
    perceptron at every pixel. The last one returns one map for each class, and the
    means of the maps are the logits.

    On 32x32x3 images with 10 classes it has 966,986 parameters. Convolutions have
    biases and are followed by ReLU. Poolings are 3x3 with stride 2, and the last window
    may reach beyond the map (Caffe's ceil mode). Kernels start as in He et al. 2015.
    Dropout follows the poolings, and does not precede the head. See `Classifier` for
    other heads.

    Attributes:
      width_multiplier: scales the channels of all layers, rounded.

    Raises:
      UserError: an attribute has an invalid value, or the image is too small.
    """

    head_dropout: ClassVar[bool] = False

    head: str = "conv_gap"
    dropout: Rate = 0.5
    width_multiplier: Positive = 1.0

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2, 2)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        drop = self.dropout_layer(train)
        pool1, pool2 = self.plan()
        norm = self.normalization(train)

        def conv(name, x, features, kernel_size=1, dilation=(1, 1)):
            x = layers.Conv(
                scaled(features, self.width_multiplier),
                kernel_size,
                padding=tuple(kernel_size // 2 * d for d in dilation),
                dilation=dilation,
                use_bias=norm is None,
                dtype=self.dtype,
                name=name,
            )(x)
            return self.activate(layers.normalized(norm, x, f"{name}_norm"))

        x = conv("conv1", x, 192, 5)
        x = conv("cccp1", x, 160)
        x = conv("cccp2", x, 96)
        x = strides.pool(layers.MaxPool, x, 3, pool1, ceil_mode=True, name="pool1")
        x = conv("conv2", drop(x), 192, 5, pool2.before)
        x = conv("cccp3", x, 192)
        x = conv("cccp4", x, 192)
        x = strides.pool(layers.AvgPool, x, 3, pool2, ceil_mode=True, name="pool2")
        x = conv("conv3", drop(x), 192, 3, pool2.after)
        x = conv("cccp5", x, 192)
        return self.classify(x, train, size=size)


VARIANTS = {
    "nin": ModelSpec(
        NIN,
        Published(CIFAR, 10, 966_986, source="Lin et al. 2014, as in Caffe"),
        tiny={"width_multiplier": 1 / 16},
    ),
}
