"""DenseNet (Huang et al. 2017, "Densely Connected Convolutional Networks").

The variant is BC: with bottlenecks and compression in the transitions. Module names:
`stem`, `denseblock1_layer1`, ..., `transition1`, ..., `norm`, `pool`, `head`.
"""

import re
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.ranges import Count, Layers, Share
from cnn_jax.models import strides
from cnn_jax.models.classifier import Logits, NormalizedClassifier
from cnn_jax.models.other_names import OtherNames, Rules, State
from cnn_jax.models.resnet import Stem
from cnn_jax.models.spec import ModelSpec, torchvision

Map = Float[Array, "batch height width channels"]


class DenseLayer(nn.Module):
    """A layer that appends `growth_rate` new channels to its input.

    Pre-activation order: normalization, activation, 1x1 convolution to `bottleneck`
    times `growth_rate` channels, normalization, activation, dilated 3x3 convolution.
    """

    growth_rate: int
    bottleneck: int
    dilation: tuple[int, ...]
    conv: layers.residual.ModuleDef
    norm: layers.NormDef | None
    activation: layers.Activation

    @nn.compact
    def __call__(self, x: Map) -> Float[Array, "batch height width more_channels"]:
        y = self.activation(layers.normalized(self.norm, x, "norm1"))
        y = self.conv(self.bottleneck * self.growth_rate, 1, padding=0, name="conv1")(y)
        y = self.activation(layers.normalized(self.norm, y, "norm2"))
        y = self.conv(
            self.growth_rate,
            3,
            padding=self.dilation,
            dilation=self.dilation,
            name="conv2",
        )(y)
        return jnp.concatenate([x, y], axis=-1)


class Transition(nn.Module):
    """Normalization, activation, 1x1 convolution, 2x2 average pooling of stride 2."""

    features: int
    step: strides.Step
    conv: layers.residual.ModuleDef
    norm: layers.NormDef | None
    activation: layers.Activation

    @nn.compact
    def __call__(
        self, x: Map
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        x = self.activation(layers.normalized(self.norm, x, "norm"))
        x = self.conv(self.features, 1, padding=0, name="conv")(x)
        return strides.pool(
            layers.AvgPool, x, 2, self.step, count_include_pad=False, name="pool"
        )


class DenseNet(NormalizedClassifier, kw_only=True):
    """A network whose layers see the maps of all previous layers in their block.

    Convolutions start as in He et al. 2015 (`kaiming_normal_fan_out`). `growth_rate`
    and `init_features` scale the channels, `block_sizes` the depth. The paper's
    DenseNet-BC with 100 layers for CIFAR-10 is growth_rate=12, init_features=24,
    block_sizes=(16, 16, 16), stem="small", with one difference: the paper has no
    normalization and ReLU after the first convolution on CIFAR-10. See `Classifier` for
    other heads.

    Attributes:
      growth_rate: channels that each layer adds.
      init_features: channels of the stem.
      block_sizes: layers of each dense block; between two blocks, a transition halves
        the map.
      bottleneck: channels between a layer's two convolutions, as a multiple of
        `growth_rate`.
      compression: the share of its input channels that a transition returns, rounded
        down.
      stem: "imagenet", a 7x7 convolution and a 3x3 max pooling of stride 2 each, or
        "small", a 3x3 convolution of stride 1, for images of 32x32 and below.

    Raises:
      UserError: an attribute has an invalid value.
    """

    growth_rate: Count = 32
    init_features: Count = 64
    block_sizes: tuple[Layers, ...] = (6, 12, 24, 16)
    bottleneck: Count = 4
    compression: Share = 0.5
    stem: str = "imagenet"

    @property
    def subsampling(self) -> tuple[int, ...]:
        stem = (2, 2) if self.stem == "imagenet" else ()
        # One step for each block: its transition's stride; the last block has none.
        return (*stem, *(2,) * (len(self.block_sizes) - 1), 1)

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Logits:
        size = x.shape[1:-1]
        norm, activation = self.normalization(train), self.activate
        conv = partial(layers.Conv, use_bias=norm is None, dtype=self.dtype)
        steps = self.plan()
        blocks = len(self.block_sizes)
        x = Stem(
            self.stem,
            self.init_features,
            conv,
            norm,
            steps[:-blocks],
            activation,
            name="stem",
        )(x)
        for block, step in enumerate(steps[-blocks:], start=1):
            for layer in range(1, self.block_sizes[block - 1] + 1):
                x = DenseLayer(
                    self.growth_rate,
                    self.bottleneck,
                    step.before,
                    conv,
                    norm,
                    activation,
                    name=f"denseblock{block}_layer{layer}",
                )(x)
            if block < blocks:
                features = max(1, int(x.shape[-1] * self.compression))
                x = Transition(
                    features,
                    step,
                    conv,
                    norm,
                    activation,
                    name=f"transition{block}",
                )(x)
        x = activation(layers.normalized(norm, x, "norm"))
        return self.classify(x, train, size=size)


def _names(_: DenseNet) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    return (
        ("stem/conv", "features.conv0"),
        ("stem/norm", "features.norm0"),
        (
            r"denseblock(\d)_layer(\d+)/(\w+)",
            lambda b, i, layer: f"features.denseblock{b}.denselayer{i}.{layer}",
        ),
        (r"transition(\d)/(\w+)", lambda b, layer: f"features.transition{b}.{layer}"),
        ("norm", "features.norm5"),
    )


def _of_old_files(state: State) -> State:
    """Returns a state dict of old torchvision with today's names ("norm1").

    Old files have names such as "norm.1".
    """
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
    return {old.sub(r"\1\2", key): value for key, value in state.items()}


VARIANTS = {
    "densenet121": ModelSpec(
        DenseNet,
        torchvision(7_978_856, 2_834),
        OtherNames(_names, "classifier", renamed=_of_old_files),
        tiny={
            "stem": "small",
            "block_sizes": (2, 1),
            "growth_rate": 4,
            "init_features": 8,
        },
    ),
}
