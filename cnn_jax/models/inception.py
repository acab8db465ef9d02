"""Inception-v3 (Szegedy et al. 2016, "Rethinking the Inception Architecture for
Computer Vision"), as in torchvision.

Module names: `conv1a`, `conv2a`, `conv2b`, `pool1`, `conv3b`, `conv4a`, `pool2`,
`mixed5b` to `mixed5d`, `mixed6a` to `mixed6e`, `aux`, `mixed7a` to `mixed7c`, `pool`,
`head`.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Positive, Rate
from cnn_jax.layers.windows import Size
from cnn_jax.models import strides
from cnn_jax.models.classifier import (
    Logits,
    NormalizedClassifier,
    head_init,
    scaled,
)
from cnn_jax.models.other_names import OtherNames, Rules
from cnn_jax.models.spec import FROM_TENSORFLOW, ModelSpec, torchvision

Map = Float[Array, "batch height width channels"]


class AuxiliaryHead(nn.Module):
    """An auxiliary head on a map inside the network: `pool`, `conv0`, `conv1`, `fc`.

    Attributes:
      conv: makes a convolution.
      dilation: dilation of the map; see `layers.AuxiliaryPool`.
    """

    num_classes: int
    conv: layers.inception.ModuleDef
    dilation: Size = 1

    @nn.compact
    def __call__(self, x: Map) -> Float[Array, "batch classes"]:
        x = layers.AuxiliaryPool(5, self.dilation, name="pool")(x)
        x = self.conv(128, 1, name="conv0")(x)
        x = self.conv(768, 5, padding=0, name="conv1")(x)
        x = layers.global_avg_pool(x).astype(jnp.float32)
        return layers.Dense(self.num_classes, kernel_init=head_init, name="fc")(x)


class InceptionV3(NormalizedClassifier, kw_only=True):
    """Five convolutions and eleven inception blocks, with batch normalization.

    Images of 299x299 give maps of 35, 17 and 8 pixels; the smallest images are 75x75.
    With 1000 classes it has 27,161,264 parameters, 3,326,696 of them in the auxiliary
    head. Convolutions start as in He et al. 2015 (`kaiming_normal_fan_out`). See
    `Classifier` for other heads.

    Attributes:
      auxiliary: add an auxiliary head on the output of `mixed6e`, for the training loss
        (see `Classifier.auxiliary_logits`): 5x5 average pooling of stride 3, 1x1
        convolution, 5x5 convolution without padding, global average pooling, fully
        connected layer. Images below 299x299 give maps below 17x17. These are averaged
        over a grid of 5x5 cells instead, so that the 5x5 convolution always fits; see
        `layers.AuxiliaryPool`.
      stem: "imagenet", a convolution and two 3x3 max poolings of stride 2 each, all
        without padding, or "small", for images of 32x32 and below: no strides, no
        poolings, and a padding of 1 around all 3x3 windows, so that the first block
        gets maps as large as the image.
      width_multiplier: scales the channels of all convolutions.

    Raises:
      UserError: an attribute has an invalid value, or the image is too small.
    """

    dropout: Rate = 0.5
    auxiliary: bool = True
    stem: str = "imagenet"
    width_multiplier: Positive = 1.0

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2,) * (5 if self.stem == "imagenet" else 2)

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Logits:
        size = x.shape[1:-1]
        unit = partial(
            self.head_conv(train), norm=self.normalization(train, epsilon=0.001)
        )

        def conv(features, *args, **kwargs):
            return unit(scaled(features, self.width_multiplier), *args, **kwargs)

        def block(x, kind, name, step, *args):
            return kind(conv, step.before, *args, name=f"mixed{name}")(x)

        def reduction(x, kind, name, step):
            return block(x, kind, name, step, step.strides)

        *stem, step6, step7 = self.plan()
        last = step7.rest()
        x = self.stem_layers(x, conv, stem)
        x = block(x, layers.InceptionA, "5b", step6, 32)
        x = block(x, layers.InceptionA, "5c", step6, 64)
        x = block(x, layers.InceptionA, "5d", step6, 64)
        x = reduction(x, layers.InceptionB, "6a", step6)
        x = block(x, layers.InceptionC, "6b", step7, 128)
        x = block(x, layers.InceptionC, "6c", step7, 160)
        x = block(x, layers.InceptionC, "6d", step7, 160)
        x = block(x, layers.InceptionC, "6e", step7, 192)
        if self.auxiliary:
            head = AuxiliaryHead(self.num_classes, conv, step7.before, name="aux")
            self.auxiliary_logits("aux_logits", head, x, train)
        x = reduction(x, layers.InceptionD, "7a", step7)
        x = block(x, layers.InceptionE, "7b", last)
        x = block(x, layers.InceptionE, "7c", last)
        return self.classify(x, train, size=size)

    def stem_layers(
        self,
        x: Map,
        conv: layers.inception.ModuleDef,
        steps: Sequence[strides.Step],
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Applies the layers before the first block.

        Args:
          conv: makes a `ConvUnit`.
          steps: the steps of the layers that subsample; none for the small stem.
        """
        first, pool1, pool2 = steps or (strides.Step(),) * 3
        # A padding of None keeps the size of the map.
        padding = 0 if steps else None
        x = conv(
            32,
            3,
            first.strides,
            padding=padding,
            dilation=first.before,
            name="conv1a",
        )(x)
        x = conv(32, 3, padding=padding, dilation=pool1.before, name="conv2a")(x)
        x = conv(64, 3, dilation=pool1.before, name="conv2b")(x)
        if steps:
            x = strides.pool(layers.MaxPool, x, 3, pool1, name="pool1")
        x = conv(80, 1, name="conv3b")(x)
        x = conv(192, 3, padding=padding, dilation=pool2.before, name="conv4a")(x)
        if steps:
            x = strides.pool(layers.MaxPool, x, 3, pool2, name="pool2")
        return x


def _names(_: InceptionV3) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    # torchvision's names contain the kernel sizes.
    convs = {
        "conv1a": "Conv2d_1a_3x3",
        "conv2a": "Conv2d_2a_3x3",
        "conv2b": "Conv2d_2b_3x3",
        "conv3b": "Conv2d_3b_1x1",
        "conv4a": "Conv2d_4a_3x3",
    }
    leaf = {"conv": "conv", "norm": "bn"}
    return (
        (r"(conv\d\w)/(conv|norm)", lambda m, v: f"{convs[m]}.{leaf[v]}"),
        (
            r"mixed(\d\w)/(branch\w+)/(conv|norm)",
            lambda block, branch, v: f"Mixed_{block}.{branch}.{leaf[v]}",
        ),
        (r"aux/(conv\d)/(conv|norm)", lambda m, v: f"AuxLogits.{m}.{leaf[v]}"),
        ("aux/fc", "AuxLogits.fc"),
    )


VARIANTS = {
    "inception_v3": ModelSpec(
        InceptionV3,
        torchvision(27_161_264, 5_713, (299, 299, 3), auxiliary=True),
        OtherNames(_names, "fc", {"aux": "AuxLogits"}),
        normalization=FROM_TENSORFLOW,
        tiny={"stem": "small", "width_multiplier": 1 / 16},
    ),
}
