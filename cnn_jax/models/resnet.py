"""Residual networks (He et al. 2016), and wide and grouped variants.

This is version 1.5, as in torchvision: the stride of a bottleneck is in its 3x3 layer.
Module names: `stem` (with `conv`, `norm`, or the deep stem's `conv1`, `norm1`, ...),
`stage1_block1`, ..., `aux`, `pool`, `head`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Layers, Rate
from cnn_jax.models import pixel_heads, strides
from cnn_jax.models.classifier import Logits, NormalizedClassifier, head_init
from cnn_jax.models.other_names import OtherNames, Rules
from cnn_jax.models.spec import (
    CIFAR,
    IMAGENET,
    ModelSpec,
    Published,
    torchvision,
    unpublished,
)


class Stem(nn.Module):
    """The layers before the first stage; `kind` is `ResNet.stem`."""

    kind: str
    features: int
    conv: layers.residual.ModuleDef
    norm: layers.NormDef | None
    steps: Sequence[strides.Step]
    activation: layers.Activation

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width features"]:
        if self.kind == "small":
            x = self.conv(self.features, 3, padding=1, name="conv")(x)
            return self.activation(layers.normalized(self.norm, x, "norm"))
        first, second = self.steps

        def unit(x, features, size, step, number=""):
            x = self.conv(
                features,
                size,
                step.strides,
                padding=step.padding(size // 2),
                dilation=step.before,
                name=f"conv{number}",
            )(x)
            return self.activation(layers.normalized(self.norm, x, f"norm{number}"))

        if self.kind == "deep":
            x = unit(x, max(self.features // 2, 1), 3, first, 1)
            x = unit(x, max(self.features // 2, 1), 3, first.rest(), 2)
            x = unit(x, self.features, 3, first.rest(), 3)
        else:
            x = unit(x, self.features, 7, first)
        return strides.pool(layers.MaxPool, x, 3, second, padding=1, name="pool")


class ResNet(NormalizedClassifier, kw_only=True):
    """A residual network for classification; see `Classifier` for the heads.

    Parameters, batch statistics, the head and the logits are float32. All other layers
    compute in `dtype`. Convolutions start as in He et al. 2015
    (`kaiming_normal_fan_out`), normalizations with a scale of one.

    Attributes:
      stage_sizes: blocks of each stage. Each stage except the first halves the map and
        doubles the channels.
      block: "basic" or "bottleneck".
      width: channels of the first stage's 3x3 convolutions, and of the stem.
      stem: "imagenet", a 7x7 convolution and a 3x3 max pooling of stride 2 each;
        "deep", with three 3x3 convolutions in place of the 7x7 convolution, the first
        two with half the channels (He et al. 2019, ResNet-C); or "small", a 3x3
        convolution of stride 1, for images of 32x32 and below.
      shortcut: the shortcut of blocks that change the shape: "projection" (option B of
        He et al.); "average", a 2x2 average pooling before the projection, which then
        skips no pixels (He et al. 2019, ResNet-D); or "identity" (option A, which the
        paper uses on CIFAR-10: pixels are skipped, and channels padded with zeros).
        "zero" leaves out all shortcuts, which gives the paper's plain network.
      groups, width_per_group: for bottlenecks; see `layers.Bottleneck`.
      zero_init_residual: each block starts as its shortcut (Goyal et al. 2017).
      stochastic_depth: the probability with which training drops the last block's
        branch. For earlier blocks it grows linearly from zero (Huang et al. 2016,
        equation 4).
      auxiliary: add an auxiliary head on the map of the second last stage, for the
        training loss. It needs a `head` of `pixel_heads` (Zhao et al. 2017, "Pyramid
        Scene Parsing Network", section 3.3; `pixel_heads.AuxiliaryHead`).
      auxiliary_dropout: rate of the dropout before the auxiliary head's last layer.

    Raises:
      UserError: an attribute has an invalid value.
    """

    blocks: ClassVar[dict[str, type[nn.Module]]] = {
        "basic": layers.BasicBlock,
        "bottleneck": layers.Bottleneck,
    }
    stems: ClassVar[tuple[str, ...]] = ("imagenet", "deep", "small")
    auxiliary_kind: ClassVar[str] = "maps"

    stage_sizes: tuple[Layers, ...]
    block: str = "basic"
    width: Count = 64
    stem: str = "imagenet"
    shortcut: str = "projection"
    groups: Count = 1
    width_per_group: Count = 64
    zero_init_residual: bool = False
    stochastic_depth: Rate = 0.0
    auxiliary: bool = False
    auxiliary_dropout: Rate = 0.1

    def validate(self) -> None:
        self.check("block", self.blocks)
        self.check("shortcut", layers.SHORTCUTS)
        if self.block == "basic" and (self.groups, self.width_per_group) != (1, 64):
            raise UserError(
                "groups and width_per_group belong to bottleneck blocks: "
                "set block='bottleneck'."
            )
        if self.width * self.width_per_group < 64:
            raise UserError(
                f"width={self.width} times width_per_group={self.width_per_group} must "
                "be at least 64: otherwise, the blocks have no channels."
            )
        if self.auxiliary and self.head not in pixel_heads.WIDTHS:
            raise UserError(
                f"auxiliary=True belongs to head={' or '.join(pixel_heads.WIDTHS)}, "
                f"not to head={self.head}: leave auxiliary out or set another head."
            )
        if self.auxiliary and len(self.stage_sizes) < 2:
            raise UserError("auxiliary=True needs at least two entries in stage_sizes.")
        if self.shortcut == "zero" and (
            self.stochastic_depth or self.zero_init_residual
        ):
            raise UserError(
                "stochastic_depth and zero_init_residual need shortcuts, and "
                "shortcut='zero' has none: set another shortcut."
            )

    @property
    def subsampling(self) -> tuple[int, ...]:
        stem = () if self.stem == "small" else (2, 2)
        return (*stem, 1, *(2,) * (len(self.stage_sizes) - 1))

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        conv = partial(layers.Conv, use_bias=norm is None, dtype=self.dtype)
        block = partial(
            self.blocks[self.block],
            conv=conv,
            norm=norm,
            shortcut=self.shortcut,
            zero_init=self.zero_init_residual,
            activation=self.activate,
        )
        if self.block == "bottleneck":
            block = partial(
                block, groups=self.groups, width_per_group=self.width_per_group
            )

        steps = self.plan()
        in_stem = len(steps) - len(self.stage_sizes)
        x = Stem(
            self.stem,
            self.width,
            conv,
            norm,
            steps[:in_stem],
            self.activate,
            name="stem",
        )(x)
        index = 0
        for stage, step in enumerate(steps[in_stem:]):
            for i in range(self.stage_sizes[stage]):
                x = block(
                    self.width * 2**stage,
                    strides=step.strides,
                    dilation=step.before,
                    next_dilation=step.after,
                    name=f"stage{stage + 1}_block{i + 1}",
                    **self.block_attributes(index, train),
                )(x)
                step = step.rest()
                index += 1
            if self.auxiliary and stage == len(self.stage_sizes) - 2:
                head = pixel_heads.AuxiliaryHead(
                    self.num_classes,
                    conv=self.head_conv(train),
                    dropout=self.auxiliary_dropout,
                    train=train,
                    size=size,
                    kernel_init=head_init,
                    name="aux",
                )
                self.auxiliary_logits("aux_logits", head, x, train)
        return self.classify(self.last_activation(x, norm), train, size=size)

    def block_attributes(self, index: int, train: bool) -> dict[str, Any]:
        """Returns the attributes of block `index`, counted from 0 over all stages."""
        if not self.stochastic_depth:
            return {}
        rate = self.stochastic_depth * (index + 1) / sum(self.stage_sizes)
        return {"drop": partial(layers.StochasticDepth, rate, deterministic=not train)}

    def last_activation(
        self, x: Float[Array, "batch height width features"], norm: Any
    ) -> Float[Array, "batch height width features"]:
        """Returns the output of the last block unchanged; subclasses activate it."""
        return x


def _names(_: ResNet) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    block = r"stage(\d)_block(\d+)"
    return (
        ("stem/conv", "conv1"),
        ("stem/norm", "bn1"),
        (rf"{block}/conv(\d)", lambda s, b, i: f"layer{s}.{b - 1}.conv{i}"),
        (rf"{block}/norm(\d)", lambda s, b, i: f"layer{s}.{b - 1}.bn{i}"),
        (rf"{block}/shortcut_conv", lambda s, b: f"layer{s}.{b - 1}.downsample.0"),
        (rf"{block}/shortcut_norm", lambda s, b: f"layer{s}.{b - 1}.downsample.1"),
    )


NAMES = OtherNames(_names, "fc")
TINY = {"stem": "small", "width": 4, "stage_sizes": (1, 1)}


def _cifar(size: int, published: Published) -> ModelSpec:
    """Returns the spec of a network for CIFAR-10 (He et al. 2016, section 4.2).

    The network has three stages of `size` blocks: 6 size + 2 layers.
    """
    sizes = (size, size, size)
    make = partial(ResNet, block="basic", width=16, stem="small", stage_sizes=sizes)
    return ModelSpec(make, published, tiny=TINY)


def _imagenet(
    block: str,
    stage_sizes: tuple[int, ...],
    parameters: int,
    macs: int,
    tiny: Mapping[str, Any] = TINY,
    **values: Any,
) -> ModelSpec:
    """Returns the spec of a network for ImageNet, as in torchvision.

    Args:
      parameters, macs: torchvision's figures; `macs` are multiply-accumulates in
        millions.
      tiny: attributes with which tests build a small network.
      values: further attributes of the network.
    """
    make = partial(ResNet, block=block, stage_sizes=stage_sizes, **values)
    return ModelSpec(make, torchvision(parameters, macs), NAMES, tiny=tiny)


_option_a = unpublished(
    CIFAR,
    10,
    "He et al. 2016, whose figures (table 6) are those of shortcuts without parameters",
)

VARIANTS = {
    "resnet20": _cifar(
        3,
        Published(
            CIFAR,
            10,
            272_474,
            source="He et al. 2016 with projections, as in most code",
        ),
    ),
    "resnet32": _cifar(5, _option_a),
    "resnet44": _cifar(7, _option_a),
    "resnet56": _cifar(9, _option_a),
    "resnet110": _cifar(18, _option_a),
    # He et al. 2016, table 1.
    "resnet18": _imagenet("basic", (2, 2, 2, 2), 11_689_512, 1_814),
    "resnet34": _imagenet("basic", (3, 4, 6, 3), 21_797_672, 3_664),
    "resnet50": _imagenet("bottleneck", (3, 4, 6, 3), 25_557_032, 4_089),
    "resnet101": _imagenet("bottleneck", (3, 4, 23, 3), 44_549_160, 7_801),
    "resnet152": _imagenet("bottleneck", (3, 8, 36, 3), 60_192_808, 11_514),
    # He et al. 2019, "Bag of Tricks for Image Classification with Convolutional Neural
    # Networks", section 4.2.
    "resnet18_d": ModelSpec(
        partial(
            ResNet,
            block="basic",
            stage_sizes=(2, 2, 2, 2),
            stem="deep",
            shortcut="average",
        ),
        Published(
            IMAGENET,
            1000,
            11_708_744,
            source="sum of the layers; timm has 11.71 M (resnet18d)",
        ),
        tiny=TINY,
    ),
    # Zagoruyko and Komodakis 2016; Xie et al. 2017.
    "wide_resnet50_2": _imagenet(
        "bottleneck", (3, 4, 6, 3), 68_883_240, 11_398, width_per_group=128
    ),
    "resnext50_32x4d": _imagenet(
        "bottleneck",
        (3, 4, 6, 3),
        25_028_904,
        4_230,
        TINY | {"width": 16},
        groups=32,
        width_per_group=4,
    ),
}
