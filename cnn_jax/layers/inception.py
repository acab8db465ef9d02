"""Inception blocks: parallel branches over one map, concatenated channel by channel.

`InceptionV1` is the block of GoogLeNet (Szegedy et al. 2015, "Going Deeper with
Convolutions", figure 2b). `InceptionA` to `InceptionE` are the blocks of Inception-v3
(Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision"), with
the letters and channels of torchvision, which keeps a 5x5 branch in A.

Each block takes `conv`, a function that the network makes once. `conv` returns a
`ConvUnit` with the network's dtype, normalization, activation and mode, and may scale
the channels that the block asks for. All padding is explicit. `dilation` spreads all
windows and their padding, also of the poolings inside a block. In the lists of
branches, layers that follow each other are joined by "then", and branches are separated
by semicolons.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.layers.activation import Activation
from cnn_jax.layers.convolution import Conv, kaiming_normal_fan_out
from cnn_jax.layers.described import Described
from cnn_jax.layers.grids import adaptive_avg_pool
from cnn_jax.layers.norms import NormDef, normalized
from cnn_jax.layers.pooling import AvgPool, MaxPool, avg_pool
from cnn_jax.layers.windows import Padding, Size, per_dimension

ModuleDef = Callable[..., nn.Module]
Map = Float[Array, "batch height width channels"]
Same = Float[Array, "batch height width out_channels"]
Out = Float[Array, "batch out_height out_width out_channels"]


class ConvUnit(nn.Module):
    """Convolution, normalization and activation: `conv`, `norm`.

    Attributes:
      padding: None is dilation * (kernel_size // 2), which keeps the size of the map
        at stride 1.
      norm: makes a normalization; None leaves it out, and the convolution gets a bias.
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding | None = None
    dilation: Size = 1
    norm: NormDef | None = None
    activation: Activation = nn.relu
    kernel_init: Initializer = kaiming_normal_fan_out
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *out_space out_channels"]:
        padding = self.padding
        if padding is None:
            window = per_dimension(self.kernel_size, x.ndim - 2)
            spread = per_dimension(self.dilation, x.ndim - 2)
            padding = tuple(f // 2 * d for f, d in zip(window, spread, strict=True))
        x = Conv(
            self.features,
            self.kernel_size,
            self.strides,
            padding,
            self.dilation,
            use_bias=self.norm is None,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return self.activation(normalized(self.norm, x, "norm"))


class _Inception(nn.Module):
    """The base class of inception blocks.

    Attributes:
      conv: makes a `ConvUnit`.
      dilation: dilation of all windows of the block (see `models.strides`).
    """

    conv: ModuleDef
    dilation: Size = 1

    def unit(self, x: Map, features: int, kernel_size: Size, name: str) -> Same:
        """Applies a convolution that keeps the size of the map."""
        return self.conv(features, kernel_size, dilation=self.dilation, name=name)(x)

    def chain(self, x: Map, name: str, *units: tuple[int, Size]) -> Same:
        """Applies convolutions one after another, with the module names `name`_1, ....

        Args:
          units: (features, kernel size) of each convolution.
        """
        for i, (features, kernel_size) in enumerate(units, start=1):
            x = self.unit(x, features, kernel_size, f"{name}_{i}")
        return x

    def pool3x3(self, kind: type[nn.Module], x: Map) -> Map:
        """Applies 3x3 pooling of stride 1, which keeps the size of the map.

        Args:
          kind: the class of the pooling, such as `MaxPool`.
        """
        return kind(3, 1, padding=self.dilation, dilation=self.dilation, name="pool")(x)


class InceptionV1(_Inception):
    """The block of GoogLeNet.

    Branches: 1x1; 1x1, then 3x3; 1x1, then 5x5; 3x3 max pooling, then 1x1. Module
    names: `branch1x1`, `branch3x3_reduce`, `branch3x3`, `branch5x5_reduce`,
    `branch5x5`, `pool`, `branch_pool`.

    Attributes:
      features: channels in the order of the paper's table 1: 1x1, 3x3 reduce, 3x3,
        5x5 reduce, 5x5, pool projection.
      kernel5x5: window of the "5x5" branch; 3 in torchvision.
    """

    features: Sequence[int] = (64, 96, 128, 16, 32, 32)
    kernel5x5: int = 5

    @nn.compact
    def __call__(self, x: Map) -> Same:
        one, reduce3, three, reduce5, five, projection = self.features
        y3 = self.unit(x, reduce3, 1, "branch3x3_reduce")
        y5 = self.unit(x, reduce5, 1, "branch5x5_reduce")
        branches = [
            self.unit(x, one, 1, "branch1x1"),
            self.unit(y3, three, 3, "branch3x3"),
            self.unit(y5, five, self.kernel5x5, "branch5x5"),
            self.unit(self.pool3x3(MaxPool, x), projection, 1, "branch_pool"),
        ]
        return jnp.concatenate(branches, axis=-1)


class InceptionA(_Inception):
    """The block of figure 5, for maps of 35x35.

    Branches: 1x1; 1x1, then 5x5; 1x1, then two 3x3; pooling, then 1x1.

    Attributes:
      pool_features: channels of the pooling branch; the other branches have 224
        together.
    """

    pool_features: int = 64

    @nn.compact
    def __call__(self, x: Map) -> Same:
        branches = [
            self.unit(x, 64, 1, "branch1x1"),
            self.chain(x, "branch5x5", (48, 1), (64, 5)),
            self.chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3)),
            self.unit(self.pool3x3(AvgPool, x), self.pool_features, 1, "branch_pool"),
        ]
        return jnp.concatenate(branches, axis=-1)


class InceptionC(_Inception):
    """The block of figure 6 with n = 7, for maps of 17x17.

    A 1x7 and a 7x1 convolution take the place of each 7x7 convolution. Branches: 1x1;
    1x1, then 1x7, then 7x1; 1x1, then twice 7x1 and 1x7; pooling, then 1x1. The output
    has 768 channels.

    Attributes:
      inner_features: channels inside of the two branches with 1x7 and 7x1.
    """

    inner_features: int = 128

    @nn.compact
    def __call__(self, x: Map) -> Same:
        inner, row, column = self.inner_features, (1, 7), (7, 1)
        branches = [
            self.unit(x, 192, 1, "branch1x1"),
            self.chain(x, "branch7x7", (inner, 1), (inner, row), (192, column)),
            self.chain(
                x,
                "branch7x7dbl",
                (inner, 1),
                (inner, column),
                (inner, row),
                (inner, column),
                (192, row),
            ),
            self.unit(self.pool3x3(AvgPool, x), 192, 1, "branch_pool"),
        ]
        return jnp.concatenate(branches, axis=-1)


class InceptionE(_Inception):
    """The block of figure 7, for maps of 8x8.

    A 1x3 and a 3x1 convolution side by side take the place of a 3x3 convolution.
    Branches: 1x1; 1x1, then 1x3 beside 3x1; 1x1, then 3x3, then 1x3 beside 3x1;
    pooling, then 1x1. The output has 2048 channels.
    """

    def beside(self, x: Map, name: str) -> Same:
        """Applies a 1x3 and a 3x1 convolution to `x`, and concatenates the results.

        The modules are called `name`a and `name`b.
        """
        branches = [
            self.unit(x, 384, (1, 3), f"{name}a"),
            self.unit(x, 384, (3, 1), f"{name}b"),
        ]
        return jnp.concatenate(branches, axis=-1)

    @nn.compact
    def __call__(self, x: Map) -> Same:
        branches = [
            self.unit(x, 320, 1, "branch1x1"),
            self.beside(self.chain(x, "branch3x3", (384, 1)), "branch3x3_2"),
            self.beside(
                self.chain(x, "branch3x3dbl", (448, 1), (384, 3)), "branch3x3dbl_3"
            ),
            self.unit(self.pool3x3(AvgPool, x), 192, 1, "branch_pool"),
        ]
        return jnp.concatenate(branches, axis=-1)


class _Reduction(_Inception):
    """The base class of blocks that halve the map (figure 10).

    Each block has three branches. Two of them end in a 3x3 convolution, and one is a
    3x3 max pooling. These 3x3 windows have stride 2 and no padding.

    Attributes:
      strides: strides of these windows; 1 if the network dilates instead.
    """

    strides: Size = 2

    def reduce(self, x: Map, features: int, name: str) -> Out:
        """Applies a 3x3 convolution that halves the map."""
        return self.conv(
            features, 3, self.strides, padding=0, dilation=self.dilation, name=name
        )(x)

    def reduce_pool(self, x: Map) -> Out:
        """Applies a 3x3 max pooling that halves the map."""
        return MaxPool(3, self.strides, dilation=self.dilation, name="pool")(x)


class InceptionB(_Reduction):
    """The block that reduces maps of 35x35 to 17x17.

    Branches: 3x3; 1x1, then two 3x3; pooling. The output has 480 channels more than the
    input.
    """

    @nn.compact
    def __call__(self, x: Map) -> Out:
        double = self.chain(x, "branch3x3dbl", (64, 1), (96, 3))
        branches = [
            self.reduce(x, 384, "branch3x3"),
            self.reduce(double, 96, "branch3x3dbl_3"),
            self.reduce_pool(x),
        ]
        return jnp.concatenate(branches, axis=-1)


class InceptionD(_Reduction):
    """The block that reduces maps of 17x17 to 8x8.

    Branches: 1x1, then 3x3; 1x1, then 1x7, then 7x1, then 3x3; pooling. The output has
    512 channels more than the input.
    """

    @nn.compact
    def __call__(self, x: Map) -> Out:
        single = self.chain(x, "branch3x3", (192, 1))
        long = self.chain(x, "branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)))
        branches = [
            self.reduce(single, 320, "branch3x3_2"),
            self.reduce(long, 192, "branch7x7x3_4"),
            self.reduce_pool(x),
        ]
        return jnp.concatenate(branches, axis=-1)


class AuxiliaryPool(Described, nn.Module):
    """The pooling of an auxiliary head: means over 5x5 windows of stride 3.

    A map with a side below 3 * cells + 2 has fewer than `cells` such windows along this
    side. Such a map is averaged over a grid of `cells` by `cells` instead, so that the
    following layers fit images of any size.

    Attributes:
      cells: the least height and width of the output.
      dilation: dilation of the map. Only every `dilation`-th pixel counts, so the head
        sees the same values as in a network without dilation.
      windows: whether large maps are averaged over windows; if false, the grid is used
        for maps of any size.
    """

    cells: int
    dilation: Size = 1
    windows: bool = True

    def __call__(self, x: Map) -> Out:
        rows, columns = per_dimension(self.dilation, 2)
        x = x[:, ::rows, ::columns]
        if not self.windows or min(x.shape[1:-1]) < 3 * self.cells + 2:
            return adaptive_avg_pool(x, self.cells)
        return avg_pool(x, 5, 3)
