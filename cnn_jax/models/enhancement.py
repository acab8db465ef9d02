"""Networks from images to better images: super-resolution and denoising.

Networks are called as `model.apply(variables, images, train)`, with images (batch,
height, width, channels) of any size and values from 0 to 1. They return float32 images
(batch, scale * height, scale * width, channels) in the same units, not clipped to 0 and
1. `model.scale` is 1 for denoising. Padding is zeros. The last convolution and the
addition to an image are computed in float32, whatever `dtype` the other layers have.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from cnn_jax import layers
from cnn_jax.core import fit, ranges
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Cells, Count, Layers, Positive, Range
from cnn_jax.layers import initializers
from cnn_jax.models.network import Network
from cnn_jax.models.spec import GRAY_PATCH, RGB_PATCH, ModelSpec, Published

Maps = Float[Array, "batch height width channels"]
Better = Float32[Array, "batch out_height out_width channels"]

# He et al. 2015, for layers followed by ReLU.
he_normal = initializers.variance_scaling(2.0, "fan_in", "normal")
# PyTorch's default, uniform in +-1/sqrt(fan_in).
torch_uniform = initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# For a layer whose output is added to an image: training starts with that image.
zeros = nn.initializers.zeros_init()

# The mean red, green and blue of DIV2K's training images, as in the code of EDSR.
MEAN = (0.4488, 0.4371, 0.4040)


class Enhancer(Network, kw_only=True):
    """A network from images to images.

    Attributes:
      dtype: dtype of the computation; None is float32.

    Raises:
      UserError: an attribute has an invalid value.
    """

    output_kind: ClassVar[str] = "picture"

    dtype: DTypeLike | None = None

    def __post_init__(self):
        ranges.check_fields(self)
        super().__post_init__()

    @property
    def takes(self) -> tuple[fit.Need, ...]:
        """The need for target pictures as large as the network's outputs."""
        return (
            fit.Need(
                "picture scale",
                {self.scale},
                f"makes images {self.scale} times as large",
                "set config.model.scale and config.data.scale to the same value",
            ),
        )


class SuperResolution(Enhancer, kw_only=True):
    """A network that enlarges images.

    Attributes:
      scale: the factor by which height and width grow.
      residual: add the output of the last layer to the bicubically enlarged image; at
        the start of training the sum is the enlarged image (Kim et al. 2016, "Accurate
        Image Super-Resolution Using Very Deep Convolutional Networks", section 3.1). If
        false, the last layer makes the whole image, as in the papers of the networks
        here.
    """

    scale: Cells = 2
    residual: bool = False

    def enlarged(self, images: Maps) -> Better:
        """Returns the images enlarged by bicubic interpolation."""
        return layers.upsample_bicubic(images.astype(jnp.float32), self.scale)

    def last_conv(self, features: int, kernel_size: int, name: str) -> layers.Conv:
        """Returns the last convolution, in float32. Pass its output to `finish`."""
        init = zeros if self.residual else torch_uniform
        return layers.Conv(features, kernel_size, kernel_init=init, name=name)

    def finish(self, x: Better, images: Maps) -> Better:
        """Returns the network's output image, from the output `x` of the last layer."""
        return x + self.enlarged(images) if self.residual else x


class ThreeLayers(SuperResolution, kw_only=True):
    """A network with two hidden layers.

    Attributes:
      widths: channels of the hidden layers.
    """

    widths: tuple[Count, ...] = (64, 32)

    def __post_init__(self):
        if len(self.widths) != 2:
            raise UserError(
                f"widths={tuple(self.widths)} needs two entries, one for each hidden "
                "layer."
            )
        super().__post_init__()


class SRCNN(ThreeLayers, kw_only=True):
    """SRCNN: three convolutions on the bicubically enlarged image (Dong et al. 2014,
    "Learning a Deep Convolutional Network for Image Super-Resolution").

    This is the 9-1-5 network. On one channel it has the paper's 8,032 weights, and 97
    biases. Hidden kernels start as in He et al. 2015; the paper draws them from
    N(0, 0.001^2). Module names: `conv1`, `conv2`, `conv3`.
    """

    @nn.compact
    def __call__(self, images: Maps, train: bool) -> Better:
        conv = partial(layers.Conv, dtype=self.dtype, kernel_init=he_normal)
        x = self.enlarged(images)
        x = nn.relu(conv(self.widths[0], 9, name="conv1")(x))
        x = nn.relu(conv(self.widths[1], 1, name="conv2")(x))
        last = self.last_conv(images.shape[-1], 5, name="conv3")
        return self.finish(last(x.astype(jnp.float32)), images)


class ESPCN(ThreeLayers, kw_only=True):
    """ESPCN: convolutions on the small image; the last one predicts all pixels of the
    large image (Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution
    Using an Efficient Sub-Pixel Convolutional Neural Network").

    This is the 5-3-3 network with tanh. Kernels start as PyTorch's do. Module names:
    `conv1`, `conv2`, `conv3`, `shuffle`.
    """

    @nn.compact
    def __call__(self, images: Maps, train: bool) -> Better:
        conv = partial(layers.Conv, dtype=self.dtype, kernel_init=torch_uniform)
        x = nn.tanh(conv(self.widths[0], 5, name="conv1")(images))
        x = nn.tanh(conv(self.widths[1], 3, name="conv2")(x))
        last = self.last_conv(images.shape[-1] * self.scale**2, 3, name="conv3")
        x = layers.PixelShuffle(self.scale, name="shuffle")(last(x.astype(jnp.float32)))
        return self.finish(x, images)


class ResidualBlock(nn.Module):
    """A residual block without normalization: conv, ReLU, conv, scaling, addition.

    Convolutions are 3x3. Module names: `conv1`, `conv2`.

    Attributes:
      conv: makes a convolution.
      scaling: the factor by which the branch is multiplied before the addition.
    """

    conv: Callable[..., nn.Module]
    scaling: float

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        features = x.shape[-1]
        y = nn.relu(self.conv(features, 3, name="conv1")(x))
        return x + self.scaling * self.conv(features, 3, name="conv2")(y)


class EDSR(SuperResolution, kw_only=True):
    """EDSR: residual blocks without normalization on the small image, then sub-pixel
    convolutions (Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image
    Super-Resolution").

    The defaults are the paper's baseline; its full EDSR has depth 32, 256 features and
    a residual scaling of 0.1. The mean of DIV2K's images is subtracted from the input,
    and added to the output unless `residual` is set. Each factor of 2 in `scale` has
    its own sub-pixel convolution, and the remaining factor has another. Kernels start
    as PyTorch's do. Module names: `stem`, `block1`, ..., `trunk` (the convolution after
    the blocks), `upsample1`, `shuffle1`, ..., `head`.

    Attributes:
      depth: number of residual blocks.
      features: channels of the feature maps.
      residual_scaling: the factor by which each block's branch is multiplied.
    """

    depth: Layers = 16
    features: Count = 64
    residual_scaling: Positive = 1.0

    @nn.compact
    def __call__(self, images: Maps, train: bool) -> Better:
        channels = images.shape[-1]
        mean = jnp.asarray(MEAN if channels == 3 else sum(MEAN) / 3)
        conv = partial(layers.Conv, dtype=self.dtype, kernel_init=torch_uniform)
        x = stem = conv(self.features, 3, name="stem")(images - mean)
        for i in range(1, self.depth + 1):
            x = ResidualBlock(conv, self.residual_scaling, name=f"block{i}")(x)
        x = stem + conv(self.features, 3, name="trunk")(x)
        for i, factor in enumerate(_factors(self.scale), start=1):
            x = conv(self.features * factor**2, 3, name=f"upsample{i}")(x)
            x = layers.PixelShuffle(factor, name=f"shuffle{i}")(x)
        x = self.last_conv(channels, 3, name="head")(x.astype(jnp.float32))
        return self.finish(x if self.residual else x + mean, images)


def _factors(scale: int) -> tuple[int, ...]:
    """Returns the scales of the sub-pixel convolutions, whose product is `scale`.

    They are (2, 2) for 4, (2, 3) for 6, and (3,) for 3.
    """
    if scale % 2 == 0:
        return (2, *_factors(scale // 2))
    return (scale,) if scale > 1 else ()


class DnCNN(Enhancer, kw_only=True):
    """DnCNN: convolutions that predict the noise, which is subtracted from the image
    (Zhang et al. 2017, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for
    Image Denoising").

    This is DnCNN-S: 3x3 kernels without biases. All convolutions except the first and
    the last have batch normalization; all except the last have ReLU. Kernels start as
    in He et al. 2015, the last kernel at zero. Module names: `conv1`, `conv2`, `norm2`,
    ..., `conv17`.

    Attributes:
      depth: number of convolutions, at least two.
      features: channels of the feature maps.
      sync_batch_norm: compute batch statistics over all devices; for a training step
        that is mapped over the axis "batch".
    """

    scale: ClassVar[int] = 1

    depth: Annotated[int, Range(least=2, most=1000)] = 17
    features: Count = 64
    sync_batch_norm: bool = False

    @nn.compact
    def __call__(self, images: Maps, train: bool) -> Better:
        conv = partial(layers.Conv, kernel_size=3, use_bias=False)
        hidden = partial(conv, self.features, dtype=self.dtype, kernel_init=he_normal)
        norm = layers.batch_norm(train, sync=self.sync_batch_norm, dtype=self.dtype)
        x = nn.relu(hidden(name="conv1")(images))
        for i in range(2, self.depth):
            x = nn.relu(norm(name=f"norm{i}")(hidden(name=f"conv{i}")(x)))
        last = conv(images.shape[-1], kernel_init=zeros, name=f"conv{self.depth}")
        return images.astype(jnp.float32) - last(x.astype(jnp.float32))


VARIANTS = {
    "srcnn": ModelSpec(
        SRCNN,
        Published(
            GRAY_PATCH,
            parameters=8_129,
            source="Dong et al. 2014: 8,032 weights, and 97 biases",
        ),
        tiny={"widths": (4, 3)},
    ),
    "espcn": ModelSpec(
        ESPCN,
        Published(
            GRAY_PATCH,
            parameters=21_284,
            source="64*25 + 32*64*9 + 4*32*9, and 100 biases",
        ),
        tiny={"widths": (4, 3)},
    ),
    "edsr": ModelSpec(
        EDSR,
        Published(
            RGB_PATCH,
            parameters=1_369_859,
            source="Lim et al. 2017, their code, baseline for x2",
        ),
        tiny={"depth": 2, "features": 4},
    ),
    "dncnn": ModelSpec(
        DnCNN,
        Published(
            GRAY_PATCH, parameters=556_032, source="Zhang et al. 2017, in PyTorch"
        ),
        tiny={"depth": 4, "features": 4},
    ),
}
