"""Residual networks: He et al. 2016, and their wide and grouped descendants.

Version 1.5, like torchvision's: a bottleneck's stride is in its 3x3 convolution.
Module names: `stem`, `stage1_block1`, ..., `pool`, `head`.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.errors import UserError, unknown

BLOCKS = {"basic": layers.BasicBlock, "bottleneck": layers.Bottleneck}
STEM_STRIDES = {"imagenet": 4, "small": 1}

# torchvision leaves the classifier at PyTorch's default, uniform in
# +-1/sqrt(fan_in); the bias starts at zero here.
head_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Stem(nn.Module):
    """The layers before the first stage; see `ResNet.stem`."""

    kind: str
    features: int
    conv: layers.residual.ModuleDef
    norm: layers.residual.ModuleDef

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width features"]:
        imagenet = self.kind == "imagenet"
        size, strides = (7, 2) if imagenet else (3, 1)
        x = self.conv(self.features, size, strides, padding=size // 2, name="conv")(x)
        x = nn.relu(self.norm(name="norm")(x))
        return layers.MaxPool(3, 2, padding=1, name="pool")(x) if imagenet else x


class ResNet(nn.Module):
    """A residual network for classification.

    Parameters and statistics are float32, and so are head and logits; all else is
    computed in `dtype`. Convolutions start as in He et al. 2015
    (`kaiming_normal_fan_out`), normalisations at scale one.

    Attributes:
      stage_sizes: blocks of each stage. A stage halves the map (but the first) and
        doubles the channels.
      block: "basic" or "bottleneck".
      width: channels of the first stage's 3x3 convolutions, and of the stem.
      stem: "imagenet", a 7x7 convolution and a 3x3 max pooling of stride 2 each, or
        "small", a 3x3 convolution of stride 1, for images of 32x32 and below.
      shortcut: where a block changes the shape, "projection" (option B of He et
        al.) or "identity" (option A, which the paper uses on CIFAR-10: pixels
        skipped, channels padded with zeros).
      groups, width_per_group: of bottlenecks; see `layers.Bottleneck`.
      output_stride: pixels of the input to one of the last map. None is the
        architecture's own: 4 ("imagenet") or 1 ("small") times two for each stage
        but the first, so 32 for ImageNet's networks and 4 for CIFAR's. Smaller
        powers of two, down to the stem's stride, keep the map at that size:
        later stages dilate where they would stride (Chen et al. 2017, DeepLab;
        torchvision's `replace_stride_with_dilation`). With the same weights, the
        larger map holds the smaller one's values at every second (fourth, ...)
        pixel.
      zero_init_residual: each block starts as its shortcut (Goyal et al. 2017).
      sync_batch_norm: batch statistics over all devices, for a training step that
        is mapped over the axis "batch".

    Raises:
      UserError: an attribute's value that makes no network.
    """

    num_classes: int
    stage_sizes: tuple[int, ...]
    block: str = "basic"
    width: int = 64
    stem: str = "imagenet"
    shortcut: str = "projection"
    groups: int = 1
    width_per_group: int = 64
    output_stride: int | None = None
    zero_init_residual: bool = False
    sync_batch_norm: bool = False
    dtype: DTypeLike | None = None

    def __post_init__(self):
        for field, known in (
            ("block", BLOCKS),
            ("stem", STEM_STRIDES),
            ("shortcut", layers.SHORTCUTS),
        ):
            if getattr(self, field) not in known:
                raise unknown(field, getattr(self, field), known)
        if self.block == "basic" and (self.groups, self.width_per_group) != (1, 64):
            raise UserError(
                "groups and width_per_group belong to bottleneck blocks: "
                "set block='bottleneck'."
            )
        if self.width * self.width_per_group < 64:
            raise UserError(
                f"width={self.width} with width_per_group={self.width_per_group} "
                "leaves no channels: their product must be at least 64."
            )
        stem_stride = STEM_STRIDES[self.stem]
        strides = [stem_stride * 2**i for i in range(len(self.stage_sizes))]
        if self.output_stride not in (None, *strides):
            raise UserError(
                f"output_stride={self.output_stride} is not possible with "
                f"stem='{self.stem}' and {len(strides)} stages: choose one of "
                f"{', '.join(map(str, strides))}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch classes"]:
        conv = partial(layers.Conv, use_bias=False, dtype=self.dtype)
        norm = partial(
            layers.BatchNorm,
            use_running_average=not train,
            axis_name=layers.BATCH_AXIS if self.sync_batch_norm else None,
            dtype=self.dtype,
        )
        block = partial(
            BLOCKS[self.block],
            conv=conv,
            norm=norm,
            shortcut=self.shortcut,
            zero_init=self.zero_init_residual,
        )
        if self.block == "bottleneck":
            block = partial(
                block, groups=self.groups, width_per_group=self.width_per_group
            )

        x = Stem(self.stem, self.width, conv, norm, name="stem")(x)
        plan = stage_plan(
            len(self.stage_sizes), STEM_STRIDES[self.stem], self.output_stride
        )
        for stage, (strides, first_dilation, dilation) in enumerate(plan):
            for i in range(self.stage_sizes[stage]):
                x = block(
                    self.width * 2**stage,
                    strides=strides if i == 0 else 1,
                    dilation=dilation,
                    first_dilation=first_dilation if i == 0 else None,
                    name=f"stage{stage + 1}_block{i + 1}",
                )(x)
        x = layers.GlobalAvgPool(name="pool")(x).astype(jnp.float32)
        return layers.Dense(self.num_classes, kernel_init=head_init, name="head")(x)


def stage_plan(
    stages: int, stem_stride: int, output_stride: int | None
) -> list[tuple[int, int, int]]:
    """Each stage's (strides, first dilation, dilation).

    Where a stride would take the map beyond `output_stride`, the stage's dilation
    is multiplied by it instead, from the point on where the stride would have been:
    the first 3x3 convolution still has the dilation of the stage before.
    """
    total, dilation, plan = stem_stride, 1, []
    for stage in range(stages):
        strides, first_dilation = (1 if stage == 0 else 2), dilation
        if output_stride is not None and total * strides > output_stride:
            dilation, strides = dilation * strides, 1
        total *= strides
        plan.append((strides, first_dilation, dilation))
    return plan


# He et al. 2016, section 4.2: 6n + 2 layers for CIFAR-10.
cifar = partial(ResNet, block="basic", width=16, stem="small")
resnet20 = partial(cifar, stage_sizes=(3, 3, 3))
resnet32 = partial(cifar, stage_sizes=(5, 5, 5))
resnet44 = partial(cifar, stage_sizes=(7, 7, 7))
resnet56 = partial(cifar, stage_sizes=(9, 9, 9))
resnet110 = partial(cifar, stage_sizes=(18, 18, 18))

# He et al. 2016, table 1: ImageNet.
resnet18 = partial(ResNet, block="basic", stage_sizes=(2, 2, 2, 2))
resnet34 = partial(ResNet, block="basic", stage_sizes=(3, 4, 6, 3))
resnet50 = partial(ResNet, block="bottleneck", stage_sizes=(3, 4, 6, 3))
resnet101 = partial(ResNet, block="bottleneck", stage_sizes=(3, 4, 23, 3))
resnet152 = partial(ResNet, block="bottleneck", stage_sizes=(3, 8, 36, 3))
# Zagoruyko and Komodakis 2016; Xie et al. 2017.
wide_resnet50_2 = partial(resnet50, width_per_group=128)
resnext50_32x4d = partial(resnet50, groups=32, width_per_group=4)
