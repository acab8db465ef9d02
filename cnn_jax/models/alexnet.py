"""AlexNet (Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional
Neural Networks"): in the form of textbooks, as published, and in one tower.

Module names: `conv1`, `pool1`, `conv2`, `pool2`, `conv3`, `conv4`, `conv5`, `pool3`,
`flatten`, `fc1`, `fc2`, `head`; with local response normalization `norm1`, `norm2`;
with another normalization `conv1_norm`, ....
"""

from functools import partial
from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Edge, Positive, Rate
from cnn_jax.models import strides
from cnn_jax.models.classifier import Classifier, Logits, scaled
from cnn_jax.models.other_names import OtherNames, Rules
from cnn_jax.models.spec import IMAGENET, ModelSpec, Published, torchvision


class AlexNet(Classifier, kw_only=True):
    """Five convolutions, three overlapping poolings, three fully connected layers.

    The defaults follow the table of a textbook: one tower, no normalization, and a
    first convolution without padding. With them, 224x224 pixels give maps of 54, 26, 12
    and 5 pixels, and the network has 50,844,008 parameters. Kernels start as in He et
    al. 2015 and biases at zero; the paper draws kernels from N(0, 0.01) and sets some
    biases to one. See `Classifier` for other heads; `head_width` scales the fully
    connected layers.

    Attributes:
      channels: channels of the five convolutions.
      padding: zeros around the images; 2 gives the published maps of 55 from 224x224
        pixels, and 6x6 at the end.
      groups: groups of `conv2`, `conv4` and `conv5`: the paper's two towers, one for
        each GPU.
      local_response_norm: add local response normalization after the activation of
        `conv1` and `conv2` (section 3.3).
      stem: "imagenet", or "small" for images of 32x32 and below: `conv1` is 3x3 with
        stride 1, and poolings have a padding of 1, which halves maps of any size.
      width_multiplier: scales `channels`, rounded to a multiple of `groups`.

    Raises:
      UserError: an attribute has an invalid value, or the image is too small.
    """

    head: str = "flatten_fc"
    dropout: Rate = 0.5
    channels: tuple[Count, ...] = (96, 256, 384, 384, 256)
    padding: Edge = 0
    groups: Count = 1
    local_response_norm: bool = False
    stem: str = "imagenet"
    width_multiplier: Positive = 1.0

    def validate(self) -> None:
        if len(self.channels) != 5:
            raise UserError(
                f"channels={tuple(self.channels)} needs five entries, "
                "one for each convolution."
            )

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2, 2, 2) if self.stem == "small" else (4, 2, 2, 2)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        small = self.stem == "small"
        *first, pool1, pool2, pool3 = self.plan()
        norm = self.normalization(train)

        def conv(i, x, kernel_size, step, padding, groups=1):
            x = layers.Conv(
                scaled(self.channels[i - 1], self.width_multiplier, self.groups),
                kernel_size,
                step.strides,
                padding=step.padding(padding),
                dilation=step.before,
                groups=groups,
                use_bias=norm is None,
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            return self.activate(layers.normalized(norm, x, f"conv{i}_norm"))

        def response_norm(i, x):
            if not self.local_response_norm:
                return x
            # The paper's constants. The paper does not divide the sum by 5 channels.
            return layers.LocalResponseNorm(5, 5 * 1e-4, 0.75, 2.0, name=f"norm{i}")(x)

        def pool(i, x, step):
            return strides.pool(
                layers.MaxPool, x, 3, step, padding=int(small), name=f"pool{i}"
            )

        if small:
            x = conv(1, x, 3, strides.Step(), 1)
        else:
            x = conv(1, x, 11, first[0], self.padding)
        x = pool(1, response_norm(1, x), pool1)
        # Layers between two poolings have no stride, but the next pooling's dilation.
        inner = lambda step: strides.Step(before=step.before)  # noqa: E731
        x = conv(2, x, 5, inner(pool2), 2, self.groups)
        x = pool(2, response_norm(2, x), pool2)
        x = conv(3, x, 3, inner(pool3), 1)
        x = conv(4, x, 3, inner(pool3), 1, self.groups)
        x = conv(5, x, 3, inner(pool3), 1, self.groups)
        x = pool(3, x, pool3)
        return self.classify(x, train, size=size)


class OneWeirdTrick(AlexNet, kw_only=True):
    """The network of Krizhevsky 2014, "One weird trick for parallelizing convolutional
    neural networks": one tower without normalization, and fewer channels.

    The geometry and the 256 channels of `conv4` (384 in the paper) are as in
    torchvision, with 61,100,840 parameters. Dropout follows the hidden layers, as in
    Krizhevsky et al. 2012; in torchvision it precedes them.
    """

    default_head_grid: ClassVar[int | None] = 6

    channels: tuple[Count, ...] = (64, 192, 384, 256, 256)
    padding: Edge = 2


def _names(_: AlexNet) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    # Convolutions 1, 2 and 5 are followed by a pooling in addition to the ReLU.
    index = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}
    return (
        (r"conv(\d)", lambda i: f"features.{index[i]}"),
        ("fc1", "classifier.1"),
        ("fc2", "classifier.4"),
    )


TINY = {"stem": "small", "width_multiplier": 1 / 16, "head_width": (16,)}

VARIANTS = {
    "alexnet": ModelSpec(
        AlexNet,
        Published(
            IMAGENET,
            1000,
            50_844_008,
            source="sum of the lecture's table; it prints 50,840,168, with 26,214,656 "
            "for 6400*4096 + 4096 = 26,218,496",
        ),
        tiny=TINY,
    ),
    "alexnet_grouped": ModelSpec(
        partial(AlexNet, padding=2, groups=2, local_response_norm=True),
        Published(
            IMAGENET, 1000, 60_965_224, source="Krizhevsky et al. 2012, as in Caffe"
        ),
        tiny=TINY,
    ),
    "alexnet_owt": ModelSpec(
        OneWeirdTrick,
        torchvision(61_100_840, 714, note=" (alexnet)"),
        names=OtherNames(_names, "classifier.6", model="alexnet"),
        tiny=TINY,
    ),
}
