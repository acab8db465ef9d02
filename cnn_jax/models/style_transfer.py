"""Networks that give one picture the style of another.

`Johnson` is a network from images to images, like the networks of `enhancement`. The
other networks hold a network for classification, the `backbone`. Its feature maps
measure style and content. Its weights come from `config.model.init_from` and are not
trained:

* `Pixels` learns the picture itself (Gatys et al. 2016, "Image Style Transfer Using
  Convolutional Neural Networks");
* `FeedForward` is a `Johnson` for one style (Johnson et al. 2016, "Perceptual Losses
  for Real-Time Style Transfer and Super-Resolution");
* `Adaptive` decodes feature maps that get the statistics of any style (Huang and
  Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance
  Normalization").
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from cnn_jax import layers
from cnn_jax.core import fit, ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Count, Layers, Range
from cnn_jax.models import maps
from cnn_jax.models.classifier import Classifier
from cnn_jax.models.enhancement import Enhancer, he_normal, torch_uniform
from cnn_jax.models.network import Network
from cnn_jax.models.spec import PHOTO, ModelSpec, Published

Maps = Float[Array, "batch height width channels"]
Pairs = Float[Array, "batch 2 height width channels"]
# Content images, or pairs of a content and a style.
Given = Float[Array, "batch *pair height width channels"]
Picture = Float32[Array, "batch height width channels"]
Outputs = dict[str, Any]


class ReflectedConv(nn.Module):
    """A convolution with reflection padding, which does not repeat the border pixel.

    Module name: `conv`.

    Attributes:
      features, kernel_size, strides, dtype: see `layers.Conv`.
    """

    features: int
    kernel_size: int
    strides: int = 1
    dtype: DTypeLike | None = None
    kernel_init: Any = torch_uniform

    @nn.compact
    def __call__(self, x: Maps) -> Float[Array, "batch _height _width features"]:
        edge = self.kernel_size // 2
        least = min(x.shape[1:3])
        if least <= edge:
            raise UserError(
                f"feature maps with a side of {least} pixels are too small for "
                f"reflection padding of {edge} pixels: use larger images."
            )
        x = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="reflect")
        return layers.Conv(
            self.features,
            self.kernel_size,
            self.strides,
            padding=0,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)


class NormalizedBlock(nn.Module):
    """A residual block: two 3x3 convolutions with instance normalization.

    ReLU is between them. Module names: `conv1`, `norm1`, `conv2`, `norm2`.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        conv = partial(ReflectedConv, x.shape[-1], 3, dtype=self.dtype)
        norm = partial(layers.InstanceNorm, dtype=self.dtype)
        y = nn.relu(norm(name="norm1")(conv(name="conv1")(x)))
        return x + norm(name="norm2")(conv(name="conv2")(y))


class Johnson(Enhancer, kw_only=True):
    """The image transformation network of Johnson et al. 2016, as in PyTorch's example
    fast_neural_style.

    The layers are 9x9, 3x3 and 3x3 convolutions, the last two with stride 2; residual
    blocks; twice a nearest-neighbor enlargement by two with a 3x3 convolution; and a
    9x9 convolution to the image. All convolutions except the last have instance
    normalization (Ulyanov et al. 2016) and ReLU. All padding is reflection padding.
    Blocks keep the size of the map; the paper's blocks crop it. The output has the size
    of the image, which may be any size.

    Module names: `conv1`, `norm1`, ..., `norm3`, `block1`, ..., `upconv1`, `upnorm1`,
    `upconv2`, `upnorm2`, `head`.

    Attributes:
      width: channels of the first convolution; the next two have two and four times as
        many.
      depth: number of residual blocks.
    """

    scale: ClassVar[int] = 1

    width: Count = 32
    depth: Layers = 5

    @nn.compact
    def __call__(self, images: Maps, train: bool) -> Picture:
        del train  # instance normalization is the same in evaluation
        size, width = images.shape[1:3], self.width
        conv = partial(ReflectedConv, dtype=self.dtype)
        norm = partial(layers.InstanceNorm, dtype=self.dtype)
        x = images
        for i, (features, kernel_size, strides) in enumerate(
            ((width, 9, 1), (2 * width, 3, 2), (4 * width, 3, 2)), start=1
        ):
            x = conv(features, kernel_size, strides, name=f"conv{i}")(x)
            x = nn.relu(norm(name=f"norm{i}")(x))
        for i in range(1, self.depth + 1):
            x = NormalizedBlock(self.dtype, name=f"block{i}")(x)
        for i, features in enumerate((2 * width, width), start=1):
            x = conv(features, 3, name=f"upconv{i}")(layers.upsample_nearest(x))
            x = nn.relu(norm(name=f"upnorm{i}")(x))
        x = x[:, : size[0], : size[1]]  # crops sizes that 4 does not divide
        return ReflectedConv(images.shape[-1], 9, name="head")(x.astype(jnp.float32))


class Stylist(Network, kw_only=True):
    """The base class of networks that learn a style.

    The input is pairs [batch, 2, height, width, 3] of a content and a style, normalized
    as the backbone expects. The output is a dict:

      "picture" [batch, height, width, 3]: values from 0 to 1, not clipped;
      "content": for each of `content_layers` a pair of the picture's feature map and
        the target of this feature map;
      "style": for each of `style_layers` the feature maps of the picture, of the
        content and of the style.

    `stylized` makes the picture alone; subclasses differ in this method.

    Attributes:
      backbone: a network for classification (`Classifier`); its head is not used.
      content_layers, style_layers: names of backbone modules; see `maps.by_name`.
      mean, std: the normalization of the images, for values from 0 to 1.

    Raises:
      UserError: the backbone has no module with such a name.
    """

    output_kind: ClassVar[str] = "stylized"
    # Whether `stylized` takes pairs; if not, it takes contents alone.
    any_style: ClassVar[bool] = False
    # Images are normalized: `mean` and `std` are set to the normalization of the data.
    knows_normalization: ClassVar[bool] = True
    # The method that makes the picture alone, without feature maps for the loss.
    predicted: ClassVar[str] = "stylized"
    takes: ClassVar[tuple[fit.Need, ...]] = (
        fit.Need(
            "frozen modules",
            fit.Holding("backbone"),
            "compares pictures by feature maps of its backbone, which must be frozen",
            "set config.optimizer.freeze=backbone",
        ),
    )

    backbone: Classifier
    content_layers: tuple[str, ...] = ("fire5",)
    style_layers: tuple[str, ...] = ("conv1", "pool1", "fire3", "fire5", "fire7")
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: DTypeLike | None = None

    def __post_init__(self):
        for field in ("content_layers", "style_layers"):
            if not getattr(self, field):
                raise UserError(f"{field}=() needs at least one entry.")
        ranges.check_fields(self)
        super().__post_init__()

    @property
    def gives(self) -> dict[str, fit.Fact]:
        """The number of style layers, which must fit the task's weights."""
        count = len(self.style_layers)
        return {"style layers": fit.Fact(count, f"has {count} style layers")}

    def __call__(self, pairs: Pairs, train: bool) -> Outputs:
        picture = self.stylized(pairs if self.any_style else pairs[:, 0], train)
        normalized = (picture - jnp.array(self.mean)) / jnp.array(self.std)
        seen, content, style = map(self.maps, (normalized, pairs[:, 0], pairs[:, 1]))
        return {
            "picture": picture,
            "content": [
                (seen[name], self.target(content[name], style[name]))
                for name in self.content_layers
            ],
            "style": [
                (seen[name], content[name], style[name]) for name in self.style_layers
            ],
        }

    def maps(self, images: Maps) -> dict[str, Array]:
        """Returns the backbone's feature maps in float32, by module name."""
        names = dict.fromkeys((*self.content_layers, *self.style_layers))
        found = maps.by_name(self.backbone, images, tuple(names))
        return {name: x.astype(jnp.float32) for name, x in found.items()}

    def target(self, content: Maps, style: Maps) -> Maps:
        """Returns the target of the picture's feature map in a content layer.

        Args:
          content, style: the layer's feature maps of the content and of the style.
        """
        del style
        return content

    def stylized(self, given: Given, train: bool) -> Picture:
        """Returns the stylized pictures.

        Args:
          given: content images or, with `any_style`, pairs of content and style.
        """
        raise NotImplementedError

    def shown(self, normalized: Maps) -> Picture:
        """Reverses the normalization of images; returns values from 0 to 1."""
        x = normalized.astype(jnp.float32)
        return x * jnp.array(self.std) + jnp.array(self.mean)


class Canvas(layers.Described, nn.Module):
    """Learned pixels that are added to the image or replace it. Parameter: `pixels`."""

    start: str

    @nn.compact
    def __call__(self, images: Maps) -> Maps:
        pixels = self.param("pixels", STARTS[self.start], images.shape[1:])
        return (images if self.start == "content" else 0 * images) + pixels


class Pixels(Stylist, kw_only=True):
    """A picture whose pixels are learned.

    Training starts from the content or from noise. Pixels are in units of the
    normalized image. Module name: `canvas`.

    Attributes:
      start: "content" starts with the content image, to which learned pixels are added;
        "noise" starts with noise, without the content image.
    """

    one_picture: ClassVar[bool] = True
    takes: ClassVar[tuple[fit.Need, ...]] = (
        *Stylist.takes,
        fit.Need(
            "training examples",
            Range(most=1),
            "learns one picture",
            "take config.data.name=picture_and_style",
        ),
    )

    start: str = "content"

    def __post_init__(self):
        if self.start not in STARTS:
            raise unknown("start", self.start, STARTS)
        super().__post_init__()

    @nn.compact
    def stylized(self, given: Given, train: bool) -> Picture:
        del train
        return self.shown(Canvas(self.start, name="canvas")(given))


class FeedForward(Stylist, kw_only=True):
    """A `Johnson` network for one style. Module name: `network`.

    Attributes:
      network_width, network_depth: `width` and `depth` of the `Johnson`.
    """

    network_width: Count = 32
    network_depth: Layers = 5

    @nn.compact
    def stylized(self, given: Given, train: bool) -> Picture:
        network = Johnson(
            width=self.network_width,
            depth=self.network_depth,
            dtype=self.dtype,
            name="network",
        )
        return self.shown(network(given, train))


class Decoder(nn.Module):
    """A decoder from feature maps to images, like a mirrored VGG.

    3x3 convolutions with ReLU alternate with nearest-neighbor enlargements by two.
    There is no normalization of channels, which would remove the style. The scale of
    feature maps depends on the backbone, so they are first divided by their root mean
    square. Module names: `conv1`, `conv2`, ..., `head`.

    Attributes:
      size: height and width of the images.
    """

    size: Sequence[int]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Maps) -> Float[Array, "batch _height _width 3"]:
        conv = partial(ReflectedConv, dtype=self.dtype, kernel_init=he_normal)
        doublings = round(math.log2(max(self.size) / max(x.shape[1:3])))
        x = maps.whole(x, tuple(self.size), 2**doublings)
        x /= jnp.sqrt(jnp.square(x).mean((1, 2, 3), keepdims=True) + 1e-5)
        for i in range(doublings):
            features = max(x.shape[-1] // 2, 1)
            x = nn.relu(conv(features, 3, name=f"conv{2 * i + 1}")(x))
            x = layers.upsample_nearest(x)
            x = nn.relu(conv(features, 3, name=f"conv{2 * i + 2}")(x))
        x = x[:, : self.size[0], : self.size[1]]
        return ReflectedConv(3, 3, name="head")(x.astype(jnp.float32))


class Adaptive(Stylist, kw_only=True):
    """A network that decodes the content's feature map with the style's statistics.

    The `Decoder` gets the feature map of the first of `content_layers`. The targets of
    all content layers have the statistics of the style (equation 12). Module name:
    `decoder`.

    Attributes:
      alpha: the strength of the style; 0 decodes the content without the style
        (equation 14).
    """

    any_style: ClassVar[bool] = True

    alpha: Annotated[float, Range(least=0, most=1)] = 1.0

    @nn.compact
    def stylized(self, given: Given, train: bool) -> Picture:
        del train
        name = self.content_layers[0]
        content, style = (self.maps(given[:, i])[name] for i in (0, 1))
        x = self.target(content, style)
        x = self.alpha * x + (1 - self.alpha) * content
        return self.shown(Decoder(given.shape[2:4], self.dtype, name="decoder")(x))

    def target(self, content: Maps, style: Maps) -> Maps:
        return layers.adaptive_instance_norm(content, style)


STARTS = {
    "content": nn.initializers.zeros,
    "noise": nn.initializers.normal(0.5),
}


VARIANTS = {
    "johnson": ModelSpec(
        Johnson,
        Published(
            PHOTO,
            parameters=1_679_235,
            source="PyTorch's example fast_neural_style",
        ),
        tiny={"width": 4, "depth": 1},
        tiny_shape=(16, 16, 3),
    ),
}


def _stylist(make: type[Stylist], **tiny: int) -> ModelSpec:
    """Returns the spec of a network that learns a style."""
    # The run sets `mean` and `std` from its data.
    return ModelSpec(
        make,
        not_keys=("backbone", "mean", "std"),
        tiny={"content_layers": ("fire5",), "style_layers": ("conv1", "fire3"), **tiny},
        tiny_shape=(2, 16, 16, 3),
    )


ON_BACKBONES = {
    "pixels": _stylist(Pixels),
    "johnson": _stylist(FeedForward, network_width=4, network_depth=1),
    "adain": _stylist(Adaptive),
}
