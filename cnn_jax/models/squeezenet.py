"""SqueezeNet (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer
parameters and <0.5MB model size").

Module names: `conv1`, `pool1`, `fire2`, ..., `fire9`, `head` (the paper's conv10),
`pool`. The number of a pooling is the number of the layer before the pooling.
"""

from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Cells, Count, Layers, Positive, Rate
from cnn_jax.layers import initializers
from cnn_jax.models import strides
from cnn_jax.models.classifier import Classifier, Logits, scaled
from cnn_jax.models.other_names import OtherNames, Rules
from cnn_jax.models.spec import ModelSpec, torchvision

# Channels of the squeeze convolutions of fire2, ..., fire9; each of the two expand
# convolutions of a module has four times as many (table 1).
SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)


class SqueezeNet(Classifier, kw_only=True):
    """A convolution, eight fire modules with three overlapping poolings, and a 1x1
    convolution to the classes.

    Poolings are 3x3 with stride 2, and the last window may reach beyond the map
    (Caffe's ceil mode). Kernels start as in He et al. 2015, the last kernel from
    N(0, 0.01) as in the authors' release. See `Classifier` for other heads.

    Attributes:
      stem_channels, stem_kernel: channels and kernel size of `conv1`, which has stride
        2 and no padding.
      pool_after: layers that are followed by a pooling: 1 for `conv1`, 2 for `fire2`,
        and so on.
      stem: "imagenet", or "small" for images of 32x32 and below: `conv1` is 3x3 with
        stride 1 and padding 1, and there is no first pooling.
      width_multiplier: scales the channels of all layers, rounded.

    Raises:
      UserError: an attribute has an invalid value, or the image is too small.
    """

    head: str = "conv_gap"
    dropout: Rate = 0.5
    stem_channels: Count = 96
    stem_kernel: Cells = 7
    pool_after: tuple[Layers, ...] = (1, 4, 8)
    stem: str = "imagenet"
    width_multiplier: Positive = 1.0

    def validate(self) -> None:
        known = range(1, len(SQUEEZE) + 2)
        if not set(self.pool_after) <= set(known):
            raise UserError(
                f"pool_after={tuple(self.pool_after)} must contain only numbers from 1 "
                f"to {known[-1]}, the numbers of the layers."
            )

    @property
    def pools(self) -> tuple[int, ...]:
        """`pool_after` without the pooling that a small stem leaves out."""
        after = tuple(sorted(set(self.pool_after)))
        return after[1:] if self.stem == "small" else after

    @property
    def subsampling(self) -> tuple[int, ...]:
        first = () if self.stem == "small" else (2,)
        return first + (2,) * len(self.pools)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        conv = partial(layers.Conv, use_bias=norm is None, dtype=self.dtype)
        plan = self.plan()
        if self.stem == "small":
            step, kernel_size, padding = strides.Step(), 3, 1
        else:
            step, kernel_size, padding = plan.pop(0), self.stem_kernel, 0
        pools = dict(zip(self.pools, plan, strict=True))
        x = conv(
            scaled(self.stem_channels, self.width_multiplier),
            kernel_size,
            step.strides,
            padding=step.padding(padding),
            dilation=step.before,
            name="conv1",
        )(x)
        x = self.activate(layers.normalized(norm, x, "conv1_norm"))
        step = step.rest()
        for layer in range(1, len(SQUEEZE) + 2):
            if layer > 1:
                squeeze = SQUEEZE[layer - 2]
                expand = scaled(4 * squeeze, self.width_multiplier)
                x = layers.Fire(
                    scaled(squeeze, self.width_multiplier),
                    expand,
                    expand,
                    conv,
                    dilation=step.before,
                    norm=norm,
                    activation=self.activate,
                    name=f"fire{layer}",
                )(x)
            if layer in pools:
                step = pools[layer]
                x = strides.pool(
                    layers.MaxPool, x, 3, step, ceil_mode=True, name=f"pool{layer}"
                )
                step = step.rest()
        return self.classify(x, train, head_init=initializers.normal(0.01), size=size)


def _names(model: SqueezeNet) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""

    def index(layer: int) -> int:  # a fire module's, after convolution and ReLU
        return layer + sum(pool < layer for pool in set(model.pool_after))

    return (
        ("conv1", "features.0"),
        (r"fire(\d)/(\w+)", lambda i, conv: f"features.{index(i)}.{conv}"),
    )


NAMES = OtherNames(_names, "classifier.1")
TINY = {"stem": "small", "width_multiplier": 1 / 8}

VARIANTS = {
    "squeezenet1_0": ModelSpec(
        SqueezeNet, torchvision(1_248_424, 819), NAMES, tiny=TINY
    ),
    # The authors' later version, with 2.4 times fewer operations.
    "squeezenet1_1": ModelSpec(
        partial(SqueezeNet, stem_channels=64, stem_kernel=3, pool_after=(1, 3, 5)),
        torchvision(1_235_496, 349),
        NAMES,
        tiny=TINY,
    ),
}
