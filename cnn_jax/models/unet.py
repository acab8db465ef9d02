"""U-Net (Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
Segmentation"), and its expanding path on the maps of other networks.

Module names: `down1` (`conv1`, `norm1`, `conv2`, `norm2`), `down2`, ...; `up4` (by the
level, or by the stride of the maps that it makes), with `enlarge` and alike; `head`,
`resize`.
"""

import itertools
from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from cnn_jax import layers
from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Layers, Rate
from cnn_jax.layers import initializers
from cnn_jax.models import maps
from cnn_jax.models.classifier import Classifier
from cnn_jax.models.network import Network
from cnn_jax.models.spec import ModelSpec, Published

Images = Float[Array, "batch height width channels"]
Map = Float[Array, "batch _height _width _channels"]
Logits = Float32[Array, "batch height width classes"]

# Section 3.1: a standard deviation of sqrt(2 / N), N the inputs of a neuron. For
# `enlarge`, which has no ReLU, N counts the four outputs of each input in their place.
conv_init = initializers.variance_scaling(2.0, "fan_in", "normal")
head_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with ReLU, and batch normalization if `norm`.

    Attributes:
      features: channels of both.
      norm: what makes a normalization layer; None: there is none.
    """

    features: int
    norm: Callable[..., nn.Module] | None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map) -> Map:
        for i in (1, 2):
            x = layers.Conv(
                self.features,
                3,
                padding=1,
                use_bias=self.norm is None,
                kernel_init=conv_init,
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            if self.norm is not None:
                x = self.norm(name=f"norm{i}")(x)
            x = nn.relu(x)
        return x


class Up(nn.Module):
    """A step of the expanding path: the map enlarged by two, the contracting path's map
    of that size beside it, and two convolutions.

    Attributes:
      features: channels of the enlarged map, and of the result.
    """

    features: int
    norm: Callable[..., nn.Module] | None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map, skip: Map) -> Map:
        """A map of the size of `skip`, which has twice the pixels of `x` a side, or one
        less."""
        x = layers.ConvTranspose(
            self.features, 2, 2, dtype=self.dtype, kernel_init=conv_init, name="enlarge"
        )(x)
        height, width = skip.shape[1:3]
        both = jnp.concatenate([skip, x[:, :height, :width].astype(skip.dtype)], -1)
        return DoubleConv(self.features, self.norm, self.dtype, name="convs")(both)


class _Segmenter(Network, kw_only=True):
    """What U-Nets have in common.

    Attributes:
      dropout: rate of the dropout on the map at the bottom and before the logits.
    """

    output_kind: ClassVar[str] = "maps"

    num_classes: Count
    dropout: Rate = 0.0
    dtype: DTypeLike | None = None

    def __post_init__(self):
        ranges.check_fields(self)
        super().__post_init__()

    def norm(self, train: bool) -> Callable[..., nn.Module] | None:
        """What makes a normalization layer."""
        return layers.batch_norm(train, sync=self.sync_batch_norm, dtype=self.dtype)

    def dropped(self, x: Array, train: bool) -> Array:
        if not self.dropout:
            return x
        return layers.Dropout(self.dropout, deterministic=not train)(x)

    def logits(self, x: Map, images: Images, train: bool) -> Logits:
        """Of every pixel, interpolated where the map has fewer."""
        x = layers.Conv(self.num_classes, 1, kernel_init=head_init, name="head")(
            self.dropped(x.astype(jnp.float32), train)
        )
        size = images.shape[1:3]
        return x if x.shape[1:3] == size else layers.Resize(size, name="resize")(x)


class UNet(_Segmenter, kw_only=True):
    """The contracting path: pairs of 3x3 convolutions with poolings between them,
    channels doubling; the expanding path back (figure 1).

    Convolutions are padded, so that every pixel gets logits; the paper's are not, and
    images are mirrored around the border. Without batch normalization the layers are
    the paper's.

    Attributes:
      width: channels of the first pair.
      depth: poolings.
      batch_norm: whether convolutions have batch normalization.
      sync_batch_norm: see `NormalizedClassifier`.

    Raises:
      UserError: an attribute's value that makes no network, or images of fewer than
        2^depth pixels a side.
    """

    width: Count = 64
    depth: Layers = 4
    batch_norm: bool = True
    sync_batch_norm: bool = False

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Logits:
        if min(images.shape[1:3]) < 2**self.depth:
            height, width = images.shape[1:3]
            raise UserError(
                f"images of {height}x{width} are too small for a U-Net with "
                f"depth={self.depth}: they need {2**self.depth} pixels a side."
            )
        norm = self.norm(train) if self.batch_norm else None
        x, skips = images, []
        for level in range(self.depth + 1):
            if level:
                skips.append(x)
                x = layers.MaxPool(2, 2, ceil_mode=True, name=f"pool{level}")(x)
            features = self.width * 2**level
            x = DoubleConv(features, norm, self.dtype, name=f"down{level + 1}")(x)
        x = self.dropped(x, train)
        for level in reversed(range(self.depth)):
            features = self.width * 2**level
            x = Up(features, norm, self.dtype, name=f"up{level + 1}")(x, skips[level])
        return self.logits(x, images, train)


class UNetOn(_Segmenter, kw_only=True):
    """The expanding path on the maps of a network for classification, from its last to
    that of its finest stride, and logits interpolated from there.

    Attributes:
      backbone: the network (`Classifier`), whose head is not used.
      decoder_width: channels of the finest map of the expanding path; each coarser one
        has twice as many.
      finest: the stride of the finest map in use; None is the finest that the backbone
        has.

    Raises:
      UserError: an attribute's value that makes no network, or a `finest` that the
        backbone has no map of.
    """

    backbone: Classifier
    decoder_width: Count = 32
    finest: Count | None = None

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Logits:
        known = maps.by_stride(self.backbone, images, train)
        size = images.shape[1:3]
        finest = self.finest or min(known)
        if finest not in known:
            raise UserError(
                f"finest={finest} must be one of the strides of the backbone's maps, "
                f"{', '.join(map(str, known))}."
            )
        strides = [stride for stride in known if stride >= finest]
        if any(b != 2 * a for a, b in itertools.pairwise(strides)):
            raise UserError(
                f"the strides of the backbone's maps, {', '.join(map(str, strides))}, "
                "are not each twice the one before, as a U-Net needs them."
            )
        *skips, x = [maps.whole(known[n], size, n) for n in strides]
        x = self.dropped(x, train)
        for level, skip in reversed(list(enumerate(skips))):
            features, name = self.decoder_width * 2**level, f"up{strides[level]}"
            x = Up(features, self.norm(train), self.dtype, name=name)(x, skip)
        return self.logits(x, images, train)

    @property
    def sync_batch_norm(self) -> bool:
        """The backbone's, which has none without batch normalization."""
        return self.backbone.sync_batch_norm


VARIANTS = {
    "unet": ModelSpec(
        UNet,
        Published(
            (256, 256, 3),
            1,
            31_037_633,
            source="many; Ronneberger et al. 2015 with padding and batch normalization",
        ),
        tiny={"width": 4, "depth": 2},
    ),
}
ON_BACKBONES = {
    "unet": ModelSpec(UNetOn, not_keys=("backbone",), tiny={"decoder_width": 4})
}
