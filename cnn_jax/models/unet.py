"""U-Net (Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
Segmentation"), and its expanding path on the maps of other networks.

Module names: `down1` (`conv1`, `norm1`, `conv2`, `norm2`), `down2`, ...; `up4`, ...
(the level, or the stride of its maps) with `enlarge` and `convs`; `norm4`, ... (the
stride of a backbone's map); `head`, `resize`.
"""

import itertools
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
from cnn_jax.models.exchangeable import Exchangeable
from cnn_jax.models.network import Network
from cnn_jax.models.spec import ModelSpec, Published

Images = Float[Array, "batch height width channels"]
Map = Float[Array, "batch _height _width _channels"]
Logits = Float32[Array, "batch height width classes"]

# Section 3.1: a standard deviation of sqrt(2 / N) for N inputs of a neuron. `enlarge`
# has no ReLU; its N counts the four outputs of each input instead.
conv_init = initializers.variance_scaling(2.0, "fan_in", "normal")
head_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with optional normalization and an activation.

    Attributes:
      features: channels of both convolutions.
      norm: makes a normalization layer; None leaves the normalization out.
      activation: the non-linearity.
    """

    features: int
    norm: layers.NormDef | None
    activation: layers.Activation
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
            x = self.activation(layers.normalized(self.norm, x, f"norm{i}"))
        return x


class Up(nn.Module):
    """A step of the expanding path: enlarge, concatenate, and two convolutions.

    The map is enlarged by two and concatenated to the contracting path's map of the
    same size.

    Attributes:
      features: channels of the enlarged map, and of the result.
    """

    features: int
    norm: layers.NormDef | None
    activation: layers.Activation
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map, skip: Map) -> Map:
        """Returns a map of the size of `skip`.

        A side of `skip` is twice the side of `x`, or one pixel less.
        """
        x = layers.ConvTranspose(
            self.features, 2, 2, dtype=self.dtype, kernel_init=conv_init, name="enlarge"
        )(x)
        height, width = skip.shape[1:3]
        both = jnp.concatenate([skip, x[:, :height, :width].astype(skip.dtype)], -1)
        return DoubleConv(
            self.features, self.norm, self.activation, self.dtype, name="convs"
        )(both)


class _Segmenter(Network, kw_only=True):
    """The base class of U-Nets.

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

    def dropped(self, x: Array, train: bool) -> Array:
        """Applies dropout."""
        if not self.dropout:
            return x
        return layers.Dropout(self.dropout, deterministic=not train)(x)

    def logits(self, x: Map, images: Images, train: bool) -> Logits:
        """Returns the logits of every pixel, interpolated from smaller maps."""
        x = layers.Conv(self.num_classes, 1, kernel_init=head_init, name="head")(
            self.dropped(x.astype(jnp.float32), train)
        )
        size = images.shape[1:3]
        return x if x.shape[1:3] == size else layers.Resize(size, name="resize")(x)


class UNet(_Segmenter, Exchangeable, kw_only=True):
    """A contracting path with doubling channels, and an expanding path (figure 1).

    The contracting path has pairs of 3x3 convolutions with poolings between the pairs.

    Convolutions are padded, so every pixel gets logits. The paper's convolutions are
    not padded, and its images are mirrored at the border. Without batch normalization,
    the network has the layers of the paper.

    Attributes:
      width: channels of the first pair of convolutions.
      depth: number of poolings.
      batch_norm: add batch normalization to the convolutions. `norm`, if set, takes
        precedence.
      sync_batch_norm: see `NormalizedClassifier`.

    Raises:
      UserError: an attribute has an invalid value, or a side of the images has fewer
        than 2^depth pixels.
    """

    width: Count = 64
    depth: Layers = 4
    batch_norm: bool = True
    sync_batch_norm: bool = False

    @property
    def own_norm(self) -> str:
        return "batch" if self.batch_norm else "none"

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Logits:
        if min(images.shape[1:3]) < 2**self.depth:
            height, width = images.shape[1:3]
            raise UserError(
                f"images of {height}x{width} are too small for a U-Net with "
                f"depth={self.depth}. Use images of at least "
                f"{2**self.depth}x{2**self.depth}."
            )
        norm, activation = self.normalization(train), self.activate
        x, skips = images, []
        for level in range(self.depth + 1):
            if level:
                skips.append(x)
                x = layers.MaxPool(2, 2, ceil_mode=True, name=f"pool{level}")(x)
            features = self.width * 2**level
            x = DoubleConv(
                features, norm, activation, self.dtype, name=f"down{level + 1}"
            )(x)
        x = self.dropped(x, train)
        for level in reversed(range(self.depth)):
            features = self.width * 2**level
            x = Up(features, norm, activation, self.dtype, name=f"up{level + 1}")(
                x, skips[level]
            )
        return self.logits(x, images, train)


class UNetOn(_Segmenter, kw_only=True):
    """The expanding path of a U-Net on the feature maps of a classification network.

    The path runs from the last map to the map of the stride `finest`. A normalization
    brings the backbone's maps to the scale of the path's own maps. The logits of all
    pixels are interpolated from the logits at this stride.

    Attributes:
      backbone: the network (`Classifier`); its head is not used.
      decoder_width: channels of the finest map of the expanding path; each coarser map
        has twice as many.
      finest: the stride of the finest map in use; None is the backbone's smallest
        stride.

    Raises:
      UserError: an attribute has an invalid value, or the backbone has no map of the
        stride `finest`.
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
                f"finest={finest} must be a stride of the backbone's feature maps: "
                f"{', '.join(map(str, known))}."
            )
        strides = [stride for stride in known if stride >= finest]
        if any(b != 2 * a for a, b in itertools.pairwise(strides)):
            raise UserError(
                f"the strides of the backbone's feature maps are "
                f"{', '.join(map(str, strides))}, but each stride must be twice the "
                "previous stride: take another backbone."
            )
        norm = self._normalization(train)
        # Without normalization the standard deviations differ: 40 to 80 for the maps of
        # a SqueezeNet, and 1 for the decoder's. Larger maps would hide smaller ones.
        *skips, x = [
            layers.normalized(norm, maps.whole(known[n], size, n), f"norm{n}")
            for n in strides
        ]
        x = self.dropped(x, train)
        for level, skip in reversed(list(enumerate(skips))):
            features, name = self.decoder_width * 2**level, f"up{strides[level]}"
            x = Up(features, norm, self.backbone.activate, self.dtype, name=name)(
                x, skip
            )
        return self.logits(x, images, train)

    @property
    def sync_batch_norm(self) -> bool:
        """The backbone's `sync_batch_norm`; false if it has no batch normalization."""
        return self.backbone.sync_batch_norm

    @property
    def norm_name(self) -> str:
        """The normalization of the expanding path.

        It is the `norm` of the backbone; for None, batch normalization.
        """
        return self.backbone.norm or "batch"

    def _normalization(self, train: bool) -> layers.NormDef | None:
        """Returns a function that makes a normalization layer of the expanding path."""
        return layers.norm(
            self.norm_name,
            train,
            groups=self.backbone.norm_groups,
            sync=self.sync_batch_norm,
            dtype=self.dtype,
        )


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
