"""Dilated residual networks (Yu et al. 2017, "Dilated Residual Networks").

Module names: `stem`, `stage1_block1`, ..., `pool`, `head`.
"""

from functools import partial

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Layers
from cnn_jax.models.classifier import Logits, NormalizedClassifier
from cnn_jax.models.spec import IMAGENET, ModelSpec, Published

# Channels of each stage, in multiples of `width`; dilation of each stage.
CHANNELS = (1, 2, 4, 8, 16, 32, 32, 32)
DILATION = (1, 1, 1, 1, 2, 4, 2, 1)
# Stages that halve the map; stages without shortcuts.
HALVING = (2, 3, 4)
DEGRIDDING = (7, 8)


class Stem(nn.Module):
    """A convolution of stride 1, normalization and activation."""

    features: int
    kernel_size: int
    conv: layers.residual.ModuleDef
    norm: layers.NormDef | None
    activation: layers.Activation

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width features"]:
        size = self.kernel_size
        x = self.conv(self.features, size, padding=size // 2, name="conv")(x)
        return self.activation(layers.normalized(self.norm, x, "norm"))


class DRN(NormalizedClassifier, kw_only=True):
    """A residual network that keeps its feature maps large; see `Classifier`.

    This is DRN-C of the paper. Where ResNet halves the map for the fourth and fifth
    time, DRN dilates by 2 and 4 and stays at an output stride of 8. Two more stages
    with dilations of 2 and 1, without shortcuts, remove the grid patterns that dilation
    causes. There is no max pooling. All blocks are basic blocks, and convolutions start
    as in He et al. 2015.

    Attributes:
      stage_sizes: blocks of each of the eight stages.
      width: channels of the first stage; the eight stages have 1, 2, 4, 8, 16, 32, 32
        and 32 times as many.
      stem: "imagenet", a 7x7 convolution, or "small" for images of 32x32 and below: a
        3x3 convolution and no stride in stage 2, so an output stride of 4.

    Raises:
      UserError: an attribute has an invalid value.
    """

    stage_sizes: tuple[Layers, ...]
    width: Count = 16
    stem: str = "imagenet"

    def validate(self) -> None:
        if len(self.stage_sizes) != len(CHANNELS):
            raise UserError(
                f"stage_sizes={tuple(self.stage_sizes)} needs eight entries, one for "
                "each stage."
            )

    @property
    def subsampling(self) -> tuple[int, ...]:
        """The stride of each stage."""
        skipped = 2 if self.stem == "small" else None
        return tuple(
            2 if stage in HALVING and stage != skipped else 1
            for stage in range(1, len(CHANNELS) + 1)
        )

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        conv = partial(layers.Conv, use_bias=norm is None, dtype=self.dtype)
        kernel_size = 3 if self.stem == "small" else 7
        x = Stem(self.width, kernel_size, conv, norm, self.activate, name="stem")(x)
        for stage, step in enumerate(self.plan(), start=1):
            own = DILATION[stage - 1]
            for i in range(self.stage_sizes[stage - 1]):
                x = layers.BasicBlock(
                    self.width * CHANNELS[stage - 1],
                    conv,
                    norm,
                    step.strides,
                    dilation=tuple(own * d for d in step.before),
                    next_dilation=tuple(own * d for d in step.after),
                    shortcut="zero" if stage in DEGRIDDING else "projection",
                    activation=self.activate,
                    name=f"stage{stage}_block{i + 1}",
                )(x)
                step = step.rest()
        return self.classify(x, train, size=size)


VARIANTS = {
    "drn_c_26": ModelSpec(
        partial(DRN, stage_sizes=(1, 1, 2, 2, 2, 2, 1, 1)),
        Published(IMAGENET, 1000, 21_126_584, source="Yu et al. 2017, their code"),
        tiny={"stem": "small", "width": 4, "stage_sizes": (1,) * 8},
    ),
}
