"""GoogLeNet (Szegedy et al. 2015, "Going Deeper with Convolutions"), as published and
with batch normalization.

Module names: `conv1`, `pool1`, `conv2`, `conv3`, `pool2`, `inception3a`,
`inception3b`, `pool3`, `inception4a` to `inception4e`, `pool4`, `inception5a`,
`inception5b`, `pool`, `head`; in some variants also `norm1`, `norm2`, `aux1`, `aux2`.
"""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Positive, Rate
from cnn_jax.layers.windows import Size
from cnn_jax.models import strides
from cnn_jax.models.classifier import (
    Classifier,
    Logits,
    NormalizedClassifier,
    head_init,
    hidden_init,
    scaled,
)
from cnn_jax.models.other_names import OtherNames, Rules, dots
from cnn_jax.models.spec import (
    FROM_TENSORFLOW,
    IMAGENET,
    ModelSpec,
    Published,
    torchvision,
)

Map = Float[Array, "batch height width channels"]
Out = Float[Array, "batch out_height out_width out_channels"]

# Table 1 of the paper: channels of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool
# projection.
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "aux1", "4d": "aux2"}


class AuxiliaryHead(nn.Module):
    """An auxiliary classifier on a feature map inside the network.

    Its layers are `pool`, `conv`, `fc1` and `fc2`.

    Attributes:
      pool: makes the layer that reduces the map.
      conv: makes a convolution.
      hidden: units of the first of the two fully connected layers.
      dropout: rate of the dropout between the two layers.
    """

    num_classes: int
    pool: layers.inception.ModuleDef
    conv: layers.inception.ModuleDef
    hidden: int
    dropout: float
    train: bool
    activation: layers.Activation = nn.relu
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map) -> Float[Array, "batch classes"]:
        x = self.conv(128, 1, name="conv")(self.pool(name="pool")(x))
        x = layers.Dense(
            self.hidden, dtype=self.dtype, kernel_init=hidden_init, name="fc1"
        )(layers.flatten(x))
        x = self.activation(x)
        x = layers.Dropout(self.dropout, deterministic=not self.train)(x)
        return layers.Dense(self.num_classes, kernel_init=head_init, name="fc2")(
            x.astype(jnp.float32)
        )


class GoogLeNet(Classifier, kw_only=True):
    """Three convolutions and nine inception blocks, as published.

    The network has biases and local response normalization, and no batch normalization.
    Pooling rounds sizes up (as Caffe does), so 224x224 pixels give maps of 112, 56, 28,
    14 and 7 pixels. A window larger than the map covers the whole map. With 1000
    classes the network has 6,998,552 parameters, and 13,378,280 with the auxiliary
    heads, as in Caffe. Kernels start as in He et al. 2015 in the forward (fan-in) form.
    Without normalization, the backward form would make values grow in blocks that
    reduce the channels.

    See `Classifier` for other heads.

    Attributes:
      auxiliary: add two auxiliary heads on the outputs of `inception4a` and
        `inception4d`, for the training loss (see `Classifier.auxiliary_logits`): 5x5
        average pooling of stride 3, 1x1 convolution, two fully connected layers. Images
        below 224x224 give maps below 14x14. These are averaged over a grid of 4x4 cells
        instead, so that the weights always fit; see `layers.AuxiliaryPool`.
      auxiliary_dropout: rate of the dropout between the two fully connected layers of
        an auxiliary head.
      stem: "imagenet", a 7x7 convolution and a 3x3 max pooling of stride 2 each, or
        "small", for images of 32x32 and below: a 3x3 convolution of stride 1.
      width_multiplier: scales the channels of all convolutions, and the hidden layers
        of the auxiliary heads.

    Raises:
      UserError: an attribute has an invalid value.
    """

    kernel5x5: ClassVar[int] = 5
    last_pool: ClassVar[int] = 3

    dropout: Rate = 0.4
    auxiliary: bool = True
    auxiliary_dropout: Rate = 0.7
    stem: str = "imagenet"
    width_multiplier: Positive = 1.0

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2,) * (5 if self.stem == "imagenet" else 3)

    def unit(self, train: bool) -> layers.inception.ModuleDef:
        """Returns a partial that makes a convolution."""
        return partial(self.head_conv(train), kernel_init=hidden_init)

    def response_norm(self, x: Map, name: str) -> Map:
        """Applies the normalization after the first pooling and before the second."""
        return layers.LocalResponseNorm(name=name)(x)

    def auxiliary_pool(self, dilation: Size) -> layers.inception.ModuleDef:
        """Returns a partial that makes an auxiliary head's pooling at a dilation."""
        return partial(layers.AuxiliaryPool, 4, dilation)

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Logits:
        size = x.shape[1:-1]
        unit = self.unit(train)

        def conv(features, *args, **kwargs):
            return unit(scaled(features, self.width_multiplier), *args, **kwargs)

        *stem, pool2, pool3, pool4 = self.plan()
        if stem:
            first, pool1 = stem
            x = conv(64, 7, first.strides, dilation=first.before, name="conv1")(x)
            x = max_pool(x, 3, pool1, "pool1")
        else:
            x = conv(64, 3, name="conv1")(x)
        x = self.response_norm(x, "norm1")
        x = conv(64, 1, name="conv2")(x)
        x = conv(192, 3, dilation=pool2.before, name="conv3")(x)
        x = self.response_norm(x, "norm2")
        x = max_pool(x, 3, pool2, "pool2")
        dilation = pool2.after
        for block, features in BLOCKS.items():
            if block == "4a":
                x, dilation = max_pool(x, 3, pool3, "pool3"), pool3.after
            elif block == "5a":
                x = max_pool(x, self.last_pool, pool4, "pool4")
                dilation = pool4.after
            x = layers.InceptionV1(
                conv, dilation, features, self.kernel5x5, name=f"inception{block}"
            )(x)
            if self.auxiliary and block in AUXILIARY:
                name = AUXILIARY[block]
                head = AuxiliaryHead(
                    self.num_classes,
                    pool=self.auxiliary_pool(dilation),
                    conv=conv,
                    hidden=scaled(1024, self.width_multiplier),
                    dropout=self.auxiliary_dropout,
                    train=train,
                    activation=self.activate,
                    dtype=self.dtype,
                    name=name,
                )
                self.auxiliary_logits(f"{name}_logits", head, x, train)
        return self.classify(x, train, size=size)


class GoogLeNetBN(GoogLeNet, NormalizedClassifier, kw_only=True):
    """GoogLeNet with batch normalization, as in torchvision.

    This variant has no biases and no local response normalization. The windows in the
    "5x5" branches are 3x3, and the last max pooling is 2x2. The auxiliary heads average
    maps of any size over 4x4 cells. With 1000 classes the network has 6,624,904
    parameters, and 13,004,888 with the auxiliary heads.
    """

    kernel5x5: ClassVar[int] = 3
    last_pool: ClassVar[int] = 2

    dropout: Rate = 0.2

    def unit(self, train: bool) -> layers.inception.ModuleDef:
        return partial(
            self.head_conv(train), norm=self.normalization(train, epsilon=0.001)
        )

    def response_norm(self, x: Map, name: str) -> Map:
        return x

    def auxiliary_pool(self, dilation: Size) -> layers.inception.ModuleDef:
        return partial(layers.AuxiliaryPool, 4, dilation, windows=False)


def max_pool(x: Map, window: int, step: strides.Step, name: str) -> Out:
    """Applies max pooling in ceil mode, with windows of at most the map's size."""
    fitting = tuple(
        min(window, -(-n // d)) for n, d in zip(x.shape[1:-1], step.before, strict=True)
    )
    return strides.pool(layers.MaxPool, x, fitting, step, ceil_mode=True, name=name)


def _names(_: GoogLeNetBN) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    branches = {
        "branch1x1": "branch1",
        "branch3x3_reduce": "branch2.0",
        "branch3x3": "branch2.1",
        "branch5x5_reduce": "branch3.0",
        "branch5x5": "branch3.1",
        "branch_pool": "branch4.1",
    }
    leaf = {"conv": "conv", "norm": "bn"}
    return (
        (r"(conv\d|aux\d/conv)/(conv|norm)", lambda m, v: f"{dots(m)}.{leaf[v]}"),
        (
            r"(inception\d\w)/(branch\w+)/(conv|norm)",
            lambda block, branch, v: f"{block}.{branches[branch]}.{leaf[v]}",
        ),
        (r"(aux\d/fc\d)", dots),
    )


TINY = {"stem": "small", "width_multiplier": 1 / 4}

VARIANTS = {
    "googlenet": ModelSpec(
        GoogLeNet,
        Published(IMAGENET, 1000, 6_998_552, source="Szegedy et al. 2015, as in Caffe"),
        tiny=TINY,
    ),
    "googlenet_bn": ModelSpec(
        GoogLeNetBN,
        torchvision(
            6_624_904, 1_498, note=" (googlenet; 13,004,888 with auxiliary heads)"
        ),
        OtherNames(_names, "fc", {"aux1": "aux1", "aux2": "aux2"}, model="googlenet"),
        normalization=FROM_TENSORFLOW,
        tiny=TINY,
    ),
}
