"""Networks over clips: residual networks (Tran et al. 2018, "A Closer Look at
Spatiotemporal Convolutions for Action Recognition") and C3D (Tran et al. 2015,
"Learning Spatiotemporal Features with 3D Convolutional Networks").

The input is clips (batch, depth, height, width, channels) with frames along the depth.
Images (batch, height, width, channels) are accepted too, for training on image sets:
each becomes a still clip that repeats one frame (Carreira and Zisserman 2017, section
2.4: "boring" videos). All networks except `r2d_18` combine information over frames.
`r2d_18` only averages over the frames at its end: it is the f-R2D of Tran et al. 2018,
a baseline for the others.

Module names: `stem`, `stage1_block1`, ..., `pool`, `head`; for C3D `conv1`, `pool1`,
`conv2`, `pool2`, `conv3a`, `conv3b`, `pool3`, ..., `pool5`, `fc1`, `fc2`, `head`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Cells, Count, Layers, Rate
from cnn_jax.layers import arithmetic
from cnn_jax.layers.windows import Size, per_dimension
from cnn_jax.models import strides
from cnn_jax.models.classifier import Classifier, Logits, NormalizedClassifier
from cnn_jax.models.other_names import OtherNames, Rules
from cnn_jax.models.spec import VIDEO, ModelSpec, Published, torchvision, unpublished

Images = Float[Array, "batch *space channels"]
Clips = Float[Array, "batch depth height width channels"]
Maps = Float[Array, "batch out_depth out_height out_width features"]


def conv3d(features: int, kernel_size: Size, **attributes) -> nn.Module:
    """Returns a convolution over depth, height and width.

    Args:
      kernel_size: an integer is the size along all three dimensions.
    """
    return layers.Conv(features, per_dimension(kernel_size, 3), **attributes)


def frame_conv(
    features: int, kernel_size: Size, *, padding: Size, **attributes
) -> nn.Module:
    """Returns a convolution within each frame."""
    window = (1, *per_dimension(kernel_size, 3)[1:])
    padding = (0, *per_dimension(padding, 3)[1:])
    return layers.Conv(features, window, padding=padding, **attributes)


def factorized_conv(
    features: int,
    kernel_size: Size,
    *,
    norm: layers.NormDef | None,
    mid_features: int,
    activation: layers.Activation,
    **attributes,
) -> nn.Module:
    """Returns a convolution within each frame, followed by a convolution over time.

    A 1x1x1 convolution is not factorized.
    """
    if kernel_size == 1:
        return conv3d(features, kernel_size, **attributes)
    return layers.Conv2Plus1D(
        features,
        kernel_size,
        norm=norm,
        mid_features=mid_features,
        activation=activation,
        **attributes,
    )


# The possible convolutions of a stage.
CONVS = ("3d", "2d", "2+1d")


class Stem(nn.Module):
    """The layers before the first stage: a convolution, normalization, activation."""

    features: int
    kernel_size: tuple[int, int, int]
    conv: layers.residual.ModuleDef
    norm: layers.NormDef | None
    activation: layers.Activation
    step: strides.Step

    @nn.compact
    def __call__(self, x: Clips) -> Maps:
        x = self.conv(
            self.features,
            self.kernel_size,
            strides=self.step.strides,
            padding=self.step.padding([size // 2 for size in self.kernel_size]),
            dilation=self.step.before,
            name="conv",
        )(x)
        return self.activation(layers.normalized(self.norm, x, "norm"))


class ClipClassifier(Classifier, kw_only=True):
    """A classifier of clips, or of images as still clips.

    Attributes:
      width: channels of the first layers; all other widths are multiples of it.
      stem: "imagenet", for frames of 112x112 as published, or "small", for 32x32 and
        below, which leaves out the first subsampling.
      frames: number of frames of a clip that is made from an image; None is 16. Clips
        have their own number.

    Raises:
      UserError: an attribute has an invalid value.
    """

    takes_clips: ClassVar[bool] = True
    takes: ClassVar[tuple] = ()  # images and clips

    width: Count = 64
    stem: str = "imagenet"
    frames: Cells | None = None

    def as_clips(self, x: Images) -> Clips:
        """Returns clips unchanged, and images as still clips.

        Raises:
          UserError: the input is neither clips nor images, or the clips have another
            length than `frames`.
        """
        if x.ndim == 5:
            if self.frames not in (None, x.shape[1]):
                raise UserError(
                    f"frames={self.frames} sets the length of clips that are made from "
                    f"images, but these clips have {x.shape[1]} frames: leave frames "
                    "out."
                )
            return x
        if x.ndim != 4:
            raise UserError(
                f"an input of shape {x.shape} is neither clips (batch, depth, height, "
                "width, channels) nor images (batch, height, width, channels)."
            )
        frames = self.frames or 16
        return jnp.broadcast_to(x[:, None], (x.shape[0], frames, *x.shape[1:]))


class VideoResNet(ClipClassifier, NormalizedClassifier, kw_only=True):
    """A residual network of basic blocks over clips, as in torchvision.

    See `Classifier` and `ClipClassifier` for further attributes. Convolutions start as
    in He et al. 2015 (`kaiming_normal_fan_out`). The stem has stride (1, 2, 2) and no
    pooling; with `stem` "small" it is a 3x3x3 convolution of stride 1. `output_stride`
    counts pixels. If a stage dilates instead of striding, it also dilates in time.

    Attributes:
      stage_sizes: blocks of each stage. Each stage except the first halves the map and
        doubles the channels.
      stage_convs: the convolutions of each stage. "3d": 3x3x3. "2d": 1x3x3, within each
        frame; the stage keeps the number of frames. "2+1d": 1x3x3, normalization and
        activation, 3x1x1 (`layers.Conv2Plus1D`). The number of channels between the
        1x3x3 and the 3x1x1 convolution is chosen so that the first convolution of a
        block has as many parameters as a 3x3x3 convolution; the second convolution of
        the block uses the same number of channels. The first entry also applies to the
        stem.
    """

    stage_sizes: tuple[Layers, ...] = (2, 2, 2, 2)
    stage_convs: tuple[str, ...]

    def validate(self) -> None:
        for kind in self.stage_convs:
            if kind not in CONVS:
                raise unknown("convolution in stage_convs", kind, CONVS)
        if len(self.stage_convs) != len(self.stage_sizes):
            raise UserError(
                f"stage_convs={tuple(self.stage_convs)} and stage_sizes="
                f"{tuple(self.stage_sizes)} must have the same number of entries, one "
                "for each stage."
            )

    @property
    def subsampling(self) -> tuple[tuple[int, int, int], ...]:
        """The strides of the stem and of each stage."""
        first = (1, 1, 1) if self.stem == "small" else (1, 2, 2)
        stages = [
            (1, 2, 2) if kind == "2d" else (2, 2, 2) for kind in self.stage_convs[1:]
        ]
        return (first, (1, 1, 1), *stages)

    def conv(
        self, kind: str, norm: layers.NormDef | None, mid_features: int
    ) -> Callable[..., nn.Module]:
        """Returns a partial that makes a stage's convolutions."""
        common: dict[str, Any] = {"use_bias": norm is None, "dtype": self.dtype}
        if kind == "2+1d":
            return partial(
                factorized_conv,
                norm=norm,
                mid_features=mid_features,
                activation=self.activate,
                **common,
            )
        return partial(conv3d if kind == "3d" else frame_conv, **common)

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        first, *steps = self.plan(3)
        x = Stem(
            self.width,
            (3, 3, 3) if self.stem == "small" else (3, 7, 7),
            # torchvision's factorized stem has 45 channels in between.
            self.conv(self.stage_convs[0], norm, max(1, 45 * self.width // 64)),
            norm,
            self.activate,
            first,
            name="stem",
        )(self.as_clips(x))
        for stage, step in enumerate(steps):
            features = self.width * 2**stage
            for i in range(self.stage_sizes[stage]):
                mid_features = arithmetic.conv2plus1d_features(
                    (3, 3, 3), x.shape[-1], features
                )
                x = layers.BasicBlock(
                    features,
                    self.conv(self.stage_convs[stage], norm, mid_features),
                    norm,
                    step.strides,
                    dilation=step.before,
                    next_dilation=step.after,
                    activation=self.activate,
                    name=f"stage{stage + 1}_block{i + 1}",
                )(x)
                step = step.rest()
        return self.classify(x, train, size=size)


class C3D(ClipClassifier, kw_only=True):
    """Eight 3x3x3 convolutions with five poolings, then three fully connected layers.

    On 16x112x112x3 clips with 487 classes (Sports-1M) it has 79,991,015 parameters. The
    first pooling keeps the number of frames, and the last pooling is padded in space.
    So with 16 frames, 512 maps of 1x4x4 reach the first fully connected layer. A
    pooling keeps a single remaining frame of shorter clips. `stem` "small" leaves out
    the first two poolings. Convolutions and fully connected layers start as in He et
    al. 2015. See `Classifier` and `ClipClassifier` for further attributes.
    """

    # Names of the convolutions of each stage, and their channels in multiples of width.
    stages: ClassVar[dict[tuple[str, ...], int]] = {
        ("1",): 1,
        ("2",): 2,
        ("3a", "3b"): 4,
        ("4a", "4b"): 8,
        ("5a", "5b"): 8,
    }

    head: str = "flatten_fc"
    dropout: Rate = 0.5

    @property
    def subsampling(self) -> tuple[tuple[int, int, int], ...]:
        """The strides and windows of the poolings; ones for a stage without pooling."""
        ones = (1, 1, 1)
        first = (ones, ones) if self.stem == "small" else ((1, 2, 2), (2, 2, 2))
        return (*first, (2, 2, 2), (2, 2, 2), (2, 2, 2))

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        x = self.as_clips(x)
        stages = zip(self.stages.items(), self.subsampling, self.plan(3), strict=True)
        for stage, ((names, channels), window, step) in enumerate(stages, start=1):
            for name in names:
                x = conv3d(
                    self.width * channels,
                    3,
                    padding=step.padding(1),
                    dilation=step.before,
                    use_bias=norm is None,
                    dtype=self.dtype,
                    name=f"conv{name}",
                )(x)
                x = self.activate(layers.normalized(norm, x, f"conv{name}_norm"))
            if max(window) > 1:
                # The frames that would be left if all poolings so far had strides.
                depth = -(-x.shape[1] // step.before[0])
                window = (min(window[0], depth), *window[1:])
                padding = (0, 1, 1) if stage == len(self.stages) else 0
                name = f"pool{stage}"
                x = strides.pool(
                    layers.MaxPool, x, window, step, padding=padding, name=name
                )
        return self.classify(x, train, size=size)


def _names(model: VideoResNet) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    block = r"stage(\d)_block(\d+)"
    # torchvision's (2+1)D convolution is a nested sequence, except in the stem.
    part = {"spatial": 0, "norm": 1, "temporal": 3}
    parts = "(spatial|norm|temporal)"
    factorized = model.stage_convs[0] == "2+1d"
    return (
        ("stem/conv", "stem.0"),
        (f"stem/conv/{parts}", lambda p: f"stem.{part[p]}"),
        ("stem/norm", "stem.4" if factorized else "stem.1"),
        (rf"{block}/conv(\d)", lambda s, b, i: f"layer{s}.{b - 1}.conv{i}.0"),
        (
            rf"{block}/conv(\d)/{parts}",
            lambda s, b, i, p: f"layer{s}.{b - 1}.conv{i}.0.{part[p]}",
        ),
        (rf"{block}/norm(\d)", lambda s, b, i: f"layer{s}.{b - 1}.conv{i}.1"),
        (rf"{block}/shortcut_conv", lambda s, b: f"layer{s}.{b - 1}.downsample.0"),
        (rf"{block}/shortcut_norm", lambda s, b: f"layer{s}.{b - 1}.downsample.1"),
    )


NAMES = OtherNames(_names, "fc")
TINY = {"stem": "small", "width": 4, "frames": 2}


def _resnet(
    stage_convs: tuple[str, ...], published: Published, names: OtherNames | None = NAMES
) -> ModelSpec:
    """Returns the spec of a residual network over clips."""
    make = partial(VideoResNet, stage_convs=stage_convs)
    return ModelSpec(make, published, names, tiny=TINY | {"stage_sizes": (1, 1, 1, 1)})


VARIANTS = {
    "r2d_18": _resnet(
        ("2d", "2d", "2d", "2d"),
        unpublished(VIDEO, 400, "Tran et al. 2018, f-R2D: 11.4 M parameters"),
        names=None,
    ),
    "r3d_18": _resnet(
        ("3d", "3d", "3d", "3d"), torchvision(33_371_472, 40_697, VIDEO, 400)
    ),
    "mc3_18": _resnet(
        ("3d", "2d", "2d", "2d"), torchvision(11_695_440, 43_343, VIDEO, 400)
    ),
    "r2plus1d_18": _resnet(
        ("2+1d", "2+1d", "2+1d", "2+1d"), torchvision(31_505_325, 40_519, VIDEO, 400)
    ),
    "c3d": ModelSpec(
        C3D,
        Published(VIDEO, 487, 79_991_015, source="Tran et al. 2015, on Sports-1M"),
        tiny=TINY | {"head_width": (16,)},
    ),
}
