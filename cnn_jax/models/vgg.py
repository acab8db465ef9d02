"""VGG (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale
Image Recognition").

Module names: `conv1_1`, `conv1_2`, `pool1`, `conv2_1`, ..., `pool5`, `pool`,
`flatten`, `fc1`, `fc2`, `head`; with batch normalization also `norm1_1`, ....
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Layers, Rate
from cnn_jax.models import strides
from cnn_jax.models.classifier import Logits, NormalizedClassifier
from cnn_jax.models.other_names import OtherNames, Rules, State
from cnn_jax.models.spec import ModelSpec, torchvision


class VGG(NormalizedClassifier, kw_only=True):
    """Stages of 3x3 convolutions, each with a 2x2 maximum pooling at its end.

    Convolutions have biases, also before batch normalization, as in torchvision. They
    start as in He et al. 2015. The last feature map is averaged to a grid of 7x7 cells
    before the fully connected layers. At 224x224 pixels the map already has this size.
    See `Classifier` for other heads.

    Attributes:
      stage_sizes: convolutions of each stage.
      width: channels of the first stage; each stage doubles the channels, up to eight
        times `width`.
      batch_norm: add batch normalization between convolution and ReLU. `norm`, if set,
        takes precedence.
      stem: "imagenet", or "small" for images of 32x32 and below, without `pool1` and
        `pool2`. With the small stem, set `head_grid` to the size of the last
        feature map (4 for 32x32 pixels, 1 for 8x8). Otherwise a smaller map is repeated
        to fill 7x7 cells.

    Raises:
      UserError: an attribute has an invalid value, or the image is too small.
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
                f"stage_sizes={sizes} needs at least three entries with stem=small."
            )

    @property
    def own_norm(self) -> str:
        return "batch" if self.batch_norm else "none"

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2,) * (len(self.stage_sizes) - 2 * (self.stem == "small"))

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
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
                x = self.activate(layers.normalized(norm, x, f"norm{name}"))
            if stage >= unpooled:
                x = strides.pool(layers.MaxPool, x, 2, step, name=f"pool{stage + 1}")
        return self.classify(x, train, size=size)


def _names(model: VGG) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    # Convolution, normalization, ReLU.
    each = 3 if model.norm_name != "none" else 2

    def index(stage: int, layer: int) -> int:
        return each * (sum(model.stage_sizes[: stage - 1]) + layer - 1) + stage - 1

    return (
        (r"conv(\d+)_(\d+)", lambda s, i: f"features.{index(s, i)}"),
        (r"norm(\d+)_(\d+)", lambda s, i: f"features.{index(s, i) + 1}"),
        ("fc1", "classifier.0"),
        ("fc2", "classifier.3"),
    )


TIMM = {
    "pre_logits.fc1": "classifier.0",
    "pre_logits.fc2": "classifier.3",
    "head.fc": "classifier.6",
}


def _of_timm(state: State) -> State:
    """Returns a state dict of timm with torchvision's names and shapes.

    timm's fully connected layers are convolutions.
    """
    found = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        if module in TIMM and value.ndim > 1:
            value = value.reshape(len(value), -1)
        found[f"{TIMM[module]}.{leaf}" if module in TIMM else key] = value
    return found


NAMES = OtherNames(_names, "classifier.6", renamed=_of_timm)
TINY = {
    "stem": "small",
    "width": 4,
    "stage_sizes": (1,) * 5,
    "head_width": (16,),
    "head_grid": 1,
}


def _variant(
    stage_sizes: tuple[int, ...], parameters: int, macs: int, **values: Any
) -> ModelSpec:
    """Returns the spec of a network, as in torchvision.

    Args:
      stage_sizes: convolutions of each stage.
      parameters, macs: torchvision's figures; `macs` are multiply-accumulates in
        millions.
      values: further attributes of the network.
    """
    make = partial(VGG, stage_sizes=stage_sizes, **values)
    return ModelSpec(make, torchvision(parameters, macs), NAMES, tiny=TINY)


# Table 1: columns A, B, D, E.
A, B, D, E = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)

VARIANTS = {
    "vgg11": _variant(A, 132_863_336, 7_609),
    "vgg13": _variant(B, 133_047_848, 11_308),
    "vgg16": _variant(D, 138_357_544, 15_470),
    "vgg19": _variant(E, 143_667_240, 19_632),
    "vgg11_bn": _variant(A, 132_868_840, 7_609, batch_norm=True),
    "vgg13_bn": _variant(B, 133_053_736, 11_308, batch_norm=True),
    "vgg16_bn": _variant(D, 138_365_992, 15_470, batch_norm=True),
    "vgg19_bn": _variant(E, 143_678_248, 19_632, batch_norm=True),
}
