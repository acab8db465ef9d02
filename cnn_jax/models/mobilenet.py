"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear
Bottlenecks").

Module names: `first_conv`, `first_norm`, `stage1_block1`, ..., `stage7_block1`,
`last_conv`, `last_norm`, `pool`, `head`.
"""

from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Positive, Rate
from cnn_jax.layers import initializers
from cnn_jax.models.classifier import Logits, NormalizedClassifier, scaled

# Table 2: expansion, output channels, blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(NormalizedClassifier, kw_only=True):
    """Seventeen inverted residual blocks between a 3x3 and a 1x1 convolution.

    Convolutions have no bias and start as in He et al. 2015, the depthwise ones so that
    they keep the variance of each map (as He et al. would have it, for all maps
    together, they start so small that a step of gradient descent turns them over), the
    head from N(0, 0.01). See `Classifier` for other heads.

    Attributes:
      stem: "imagenet", or "small" for images of 32x32 and below: the first
        convolution and the second stage have stride 1.
      width_multiplier: scales the channels of all layers but the last convolution,
        which it only makes wider, to multiples of 8 (section 6.1).

    Raises:
      UserError: an attribute's value that makes no network.
    """

    dropout: Rate = 0.2
    stem: str = "imagenet"
    width_multiplier: Positive = 1.0

    @property
    def subsampling(self) -> tuple[int, ...]:
        natural = (2, *(stride for *_, stride in STAGES))
        return natural if self.stem == "imagenet" else (1, 1, 1, *natural[3:])

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        conv = partial(layers.Conv, use_bias=False, dtype=self.dtype)
        norm = self.norm(train)
        width = lambda channels, by=self.width_multiplier: scaled(channels, by, 8)  # noqa: E731
        first, *plan = self.plan()
        x = conv(
            width(32),
            3,
            first.strides,
            padding=first.padding(1),
            dilation=first.before,
            name="first_conv",
        )(x)
        x = nn.relu6(norm(name="first_norm")(x))
        for stage, (entry, step) in enumerate(zip(STAGES, plan, strict=True), start=1):
            expand_ratio, channels, blocks, _ = entry
            for i in range(blocks):
                x = layers.InvertedResidual(
                    width(channels),
                    conv,
                    norm,
                    expand_ratio,
                    step.strides,
                    dilation=step.before,
                    shortcut=i > 0,
                    name=f"stage{stage}_block{i + 1}",
                )(x)
                step = step.rest()
        x = conv(
            width(1280, max(1.0, self.width_multiplier)), 1, padding=0, name="last_conv"
        )(x)
        x = nn.relu6(norm(name="last_norm")(x))
        init = initializers.normal(0.01)
        return self.classify(x, train, nn.relu6, head_init=init, size=size)


mobilenet_v2 = MobileNetV2
