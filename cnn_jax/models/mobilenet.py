"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear
Bottlenecks").

Module names: `first_conv`, `first_norm`, `stage1_block1`, ..., `stage7_block1`,
`last_conv`, `last_norm`, `pool`, `head`.
"""

import re
from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Positive, Rate
from cnn_jax.layers import initializers
from cnn_jax.models.classifier import Logits, NormalizedClassifier, scaled
from cnn_jax.models.other_names import OtherNames, Rules, State
from cnn_jax.models.spec import ModelSpec, torchvision

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

    Convolutions have no bias and start as in He et al. 2015. Depthwise convolutions
    start so that they keep the variance of each map: with the initialization of He et
    al. for all maps together, they would be so small that a single gradient step
    changes them completely. The head starts from N(0, 0.01). See `Classifier` for other
    heads.

    Attributes:
      stem: "imagenet", or "small" for images of 32x32 and below: the first
        convolution and the second stage have stride 1.
      width_multiplier: scales the channels of all layers, to multiples of 8. The last
        convolution only gets wider, never narrower (section 6.1).

    Raises:
      UserError: an attribute has an invalid value.
    """

    dropout: Rate = 0.2
    stem: str = "imagenet"
    width_multiplier: Positive = 1.0

    @property
    def own_activation(self) -> str:
        return "relu6"

    @property
    def subsampling(self) -> tuple[int, ...]:
        natural = (2, *(stride for *_, stride in STAGES))
        return natural if self.stem == "imagenet" else (1, 1, 1, *natural[3:])

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        conv = partial(layers.Conv, use_bias=norm is None, dtype=self.dtype)
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
        x = self.activate(layers.normalized(norm, x, "first_norm"))
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
                    activation=self.activate,
                    name=f"stage{stage}_block{i + 1}",
                )(x)
                step = step.rest()
        x = conv(
            width(1280, max(1.0, self.width_multiplier)), 1, padding=0, name="last_conv"
        )(x)
        x = self.activate(layers.normalized(norm, x, "last_norm"))
        init = initializers.normal(0.01)
        return self.classify(x, train, head_init=init, size=size)


# The number of blocks of each stage.
BLOCKS = tuple(size for _, _, size, _ in STAGES)


def _names(_: MobileNetV2) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    last = 1 + sum(BLOCKS)

    def inside(stage: int, block: int, layer: str, kind: str) -> str:
        start = f"features.{sum(BLOCKS[: stage - 1]) + block}.conv"
        units = ["expand", "depthwise"][STAGES[stage - 1][0] == 1 :]
        if layer in units:
            return f"{start}.{units.index(layer)}.{int(kind == 'norm')}"
        return f"{start}.{len(units) + (kind == 'norm')}"

    return (
        ("first_conv", "features.0.0"),
        ("first_norm", "features.0.1"),
        (r"stage(\d)_block(\d)/(expand|depthwise|project)_(conv|norm)", inside),
        ("last_conv", f"features.{last}.0"),
        ("last_norm", f"features.{last}.1"),
    )


# timm's layer names: outside of blocks, in the first stage's block, and in the blocks
# of the other stages.
TIMM = {
    "conv_stem": "features.0.0",
    "bn1": "features.0.1",
    "conv_head": "features.18.0",
    "bn2": "features.18.1",
    "classifier": "classifier.1",
}
TIMM_FIRST = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
TIMM_OTHERS = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1"}
TIMM_OTHERS |= {"conv_pwl": "2", "bn3": "3"}


def _of_timm(state: State) -> State:
    """Returns a state dict of timm with torchvision's names.

    torchvision numbers all blocks in one sequence. timm numbers stages from 0, and the
    blocks of each stage from 0.
    """

    def renamed(key: str) -> str:
        module, _, leaf = key.rpartition(".")
        if match := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)", module):
            stage, block, layer = int(match[1]), int(match[2]), match[3]
            layers_of = TIMM_OTHERS if stage else TIMM_FIRST
            number = 1 + sum(BLOCKS[:stage]) + block
            return f"features.{number}.conv.{layers_of.get(layer, layer)}.{leaf}"
        return f"{TIMM[module]}.{leaf}" if module in TIMM else key

    return {renamed(key): value for key, value in state.items()}


VARIANTS = {
    "mobilenet_v2": ModelSpec(
        MobileNetV2,
        torchvision(3_504_872, 301),
        OtherNames(_names, "classifier.1", renamed=_of_timm),
        tiny={"stem": "small", "width_multiplier": 1 / 8},
    ),
}
