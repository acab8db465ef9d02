"""The network of a fast CIFAR-10 training (Jordan 2024, "94% on CIFAR-10 in 3.29
seconds on a single GPU").

Module names: `whiten`; `group1_conv1`, `group1_pool`, `group1_norm1`, `group1_conv2`,
`group1_norm2`, ...; `Classifier` names the modules of the head.
"""

from functools import partial
from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Count
from cnn_jax.layers import initializers
from cnn_jax.models import strides
from cnn_jax.models.classifier import Logits, NormalizedClassifier, head_init
from cnn_jax.models.spec import CIFAR, ModelSpec, unpublished

# PyTorch's initializer of convolutions; the first filters copy the input's channels.
conv_init = initializers.identity_first(head_init)


class Airbench(NormalizedClassifier, kw_only=True):
    """A whitening convolution and groups of two 3x3 convolutions, without shortcuts.

    The first convolution has 2x2 windows. Its filters whiten the patches of 5,000
    training images, and should stay frozen: `optimizer.freeze="whiten/kernel"`. In each
    group, max pooling follows the first convolution. Normalization and GELU follow the
    pooling and the second convolution. Batch normalization has a learned shift but no
    scale. The logits are divided by 9.

    On 32x32x3 images with 10 classes, `airbench94` has 1,971,640 parameters and
    `airbench93` 569,016. Of these, 288 are frozen.

    Attributes:
      widths: the number of filters of each group.
      head: the default is "gmp". The last layer has no bias.

    Raises:
      UserError: an attribute has an invalid value.
    """

    init_images: ClassVar[int] = 5000
    head_bias: ClassVar[bool] = False

    widths: tuple[Count, ...] = (64, 256, 256)
    head: str = "gmp"

    @property
    def own_activation(self) -> str:
        return "gelu"

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2,) * len(self.widths)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train, use_scale=False, momentum=0.6, epsilon=1e-12)

        def conv(x, features, dilation, name):
            return layers.Conv(
                features,
                3,
                padding=dilation,
                dilation=dilation,
                use_bias=norm is None,
                dtype=self.dtype,
                kernel_init=conv_init,
                name=name,
            )(x)

        x = self.activate(layers.WhiteningConv(2, dtype=self.dtype, name="whiten")(x))
        for i, (width, step) in enumerate(
            zip(self.widths, self.plan(), strict=True), start=1
        ):
            x = conv(x, width, step.before, f"group{i}_conv1")
            x = strides.pool(layers.MaxPool, x, 2, step, name=f"group{i}_pool")
            x = self.activate(layers.normalized(norm, x, f"group{i}_norm1"))
            x = conv(x, width, step.after, f"group{i}_conv2")
            x = self.activate(layers.normalized(norm, x, f"group{i}_norm2"))
        # Divides the logits by 9: the last layer has no bias.
        return self.classify(x / 9, train, size=size)


VARIANTS = {
    "airbench93": ModelSpec(
        partial(Airbench, widths=(64, 128, 128)),
        unpublished(
            CIFAR, 10, "Jordan's code: 93.00% after 11 epochs, mean of 50 runs"
        ),
        tiny={"widths": (4, 6)},
    ),
    "airbench94": ModelSpec(
        Airbench,
        unpublished(CIFAR, 10, "Jordan 2024: 0.36 PFLOP for 9.9 epochs"),
        tiny={"widths": (4, 6)},
    ),
}
