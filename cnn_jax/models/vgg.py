"""VGG (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale
Image Recognition").

Module names: `conv1_1`, `conv1_2`, `pool1`, `conv2_1`, ..., `pool5`, `pool`,
`flatten`, `fc1`, `fc2`, `head`; with batch normalization `norm1_1`, ....
"""

from functools import partial
from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Layers, Rate
from cnn_jax.models import strides
from cnn_jax.models.classifier import Logits, NormalizedClassifier


class VGG(NormalizedClassifier, kw_only=True):
    """Stages of 3x3 convolutions, each with a 2x2 maximum pooling at its end.

    Convolutions have biases, before batch normalization too, as in torchvision, and
    start as in He et al. 2015. The map is averaged over 7x7 cells before the fully
    connected layers, which changes nothing at 224x224 pixels. See `Classifier` for
    other heads.

    Attributes:
      stage_sizes: convolutions of each stage.
      width: channels of the first stage; each stage has twice as many as the one
        before, up to eight times `width`.
      batch_norm: between convolution and ReLU.
      stem: "imagenet", or "small" for images of 32x32 and below: without `pool1` and
        `pool2`. With it, `head_grid` may be the last map's size, 4 for 32x32 pixels
        and 1 for 8x8: 7x7 cells of a smaller map repeat its values.

    Raises:
      UserError: an attribute's value that makes no network, or an image too small.
    """

    default_head_grid: ClassVar[int | None] = 7

    head: str = "flatten_fc"
    dropout: Rate = 0.5
    stage_sizes: tuple[Layers, ...]
    width: Count = 64
    batch_norm: bool = False
    stem: str = "imagenet"

    def validate(self) -> None:
        sizes = tuple(self.stage_sizes)
        if self.stem == "small" and len(sizes) < 3:
            raise UserError(
                f"stage_sizes={sizes}: stem=small takes more than two stages."
            )

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2,) * (len(self.stage_sizes) - 2 * (self.stem == "small"))

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.norm(train)
        steps = self.plan()
        unpooled = len(self.stage_sizes) - len(steps)
        for stage, count in enumerate(self.stage_sizes):
            step = steps[stage - unpooled] if stage >= unpooled else strides.Step()
            for i in range(count):
                name = f"{stage + 1}_{i + 1}"
                x = layers.Conv(
                    self.width * min(2**stage, 8),
                    3,
                    padding=step.before,
                    dilation=step.before,
                    dtype=self.dtype,
                    name=f"conv{name}",
                )(x)
                if self.batch_norm:
                    x = norm(name=f"norm{name}")(x)
                x = nn.relu(x)
            if stage >= unpooled:
                x = strides.pool(layers.MaxPool, x, 2, step, name=f"pool{stage + 1}")
        return self.classify(x, train, size=size)


# Table 1: columns A, B, D, E.
vgg11 = partial(VGG, stage_sizes=(1, 1, 2, 2, 2))
vgg13 = partial(VGG, stage_sizes=(2, 2, 2, 2, 2))
vgg16 = partial(VGG, stage_sizes=(2, 2, 3, 3, 3))
vgg19 = partial(VGG, stage_sizes=(2, 2, 4, 4, 4))
vgg11_bn = partial(vgg11, batch_norm=True)
vgg13_bn = partial(vgg13, batch_norm=True)
vgg16_bn = partial(vgg16, batch_norm=True)
vgg19_bn = partial(vgg19, batch_norm=True)
