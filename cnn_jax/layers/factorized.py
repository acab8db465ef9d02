"""Convolutions split into smaller ones, with fewer parameters and operations.

Each of these layers can replace a `Conv`. Each layer has the attributes of `Conv`. So
`functools.partial(LAYER, ...)` can be the `conv` of a network.
"""

from functools import partial
from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.layers import arithmetic
from cnn_jax.layers.activation import Activation
from cnn_jax.layers.convolution import (
    Conv,
    ConvLike,
    DepthwiseConv,
    depthwise_normal,
)
from cnn_jax.layers.norms import NormDef, normalized

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out features"]


class SeparableConv(ConvLike):
    """A depthwise convolution, then a 1x1 convolution that mixes the resulting maps.

    There is no non-linearity between the two convolutions (Chollet 2017, "Xception",
    section 4.7), so the depthwise convolution has no bias. With a window of 1, only the
    1x1 convolution is applied. Modules: `depthwise`, `pointwise`. The layer also has
    the attributes and errors of `Conv`.

    Attributes:
      groups: groups of the 1x1 convolution.
      multiplier: maps that the depthwise convolution makes of each channel.
      kernel_init: initializer of the 1x1 convolution; the depthwise convolution starts
        so that it keeps each map's variance.
    """

    multiplier: int = 1

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        strides, padding, dilation = self.geometry(x, self.features, self.groups)
        ones = (1,) * len(self.window)
        pointwise = partial(
            Conv,
            self.features,
            ones,
            groups=self.groups,
            use_bias=self.use_bias,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name="pointwise",
        )
        if self.window == ones:
            return pointwise(strides, padding)(x)
        x = DepthwiseConv(
            self.window,
            strides,
            padding,
            dilation,
            self.multiplier,
            use_bias=False,
            dtype=self.dtype,
            name="depthwise",
        )(x)
        return pointwise()(x)


class FlattenedConv(ConvLike):
    """A 1x1 convolution, then one-dimensional convolutions, one along each dimension.

    Jin et al. 2014, "Flattened Convolutional Neural Networks for Feedforward
    Acceleration": a filter of c * f * f weights becomes an outer product of c + f + f
    weights. The one-dimensional convolutions are depthwise. All convolutions have a
    bias, and none is followed by a non-linearity. The paper replaces one convolution by
    two of these layers. Modules: `lateral` (over channels), then `temporal` (for
    clips), `vertical`, `horizontal`. A dimension with a window of 1 has no module. The
    layer also has the attributes and errors of `Conv`.

    Attributes:
      groups: groups of the 1x1 convolution.
      kernel_init: initializer of the 1x1 convolution; the one-dimensional convolutions
        start so that they keep each map's variance.
    """

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        strides, padding, dilation = self.geometry(x, self.features, self.groups)
        rank = len(self.window)

        def conv(axes, name, **attributes):
            """Returns a convolution over `axes` with the layer's geometry."""

            def along(values, rest):
                return tuple(v if i in axes else rest for i, v in enumerate(values))

            return Conv(
                self.features,
                along(self.window, 1),
                along(strides, 1),
                along(padding, (0, 0)),
                along(dilation, 1),
                use_bias=self.use_bias,
                dtype=self.dtype,
                bias_init=self.bias_init,
                name=name,
                **attributes,
            )

        flat = [axis for axis in range(rank) if self.window[axis] == 1]
        x = conv(flat, "lateral", groups=self.groups, kernel_init=self.kernel_init)(x)
        names = ("temporal", "vertical", "horizontal")[3 - rank :]
        for axis, name in enumerate(names):
            if axis not in flat:
                x = conv(
                    [axis], name, groups=self.features, kernel_init=depthwise_normal
                )(x)
        return x


class Conv2Plus1D(ConvLike):
    """A convolution over space, normalization, activation, a convolution over time.

    Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action
    Recognition", section 3.5: a window of t x d x d becomes 1 x d x d and t x 1 x 1,
    each with its part of strides, padding and dilation. Modules: `spatial`, `norm`,
    `temporal`. If the window is 1 over time or over space, there is only one
    convolution, `conv`. The layer also has the attributes and errors of `Conv`.

    Attributes:
      kernel_size: an integer means a cube.
      use_bias: add a bias to the last convolution; the published network has none,
        since normalization follows.
      norm: makes the normalization between the convolutions; None leaves the
        normalization out, and `use_bias` then holds for the first convolution too.
      mid_features: channels between the convolutions; None is the number with which
        both convolutions together have as many parameters as one convolution of
        t x d x d, rounded down (`arithmetic.conv2plus1d_features`).
      activation: the non-linearity between the convolutions.
    """

    rank: ClassVar[int] = 3

    use_bias: bool = False
    norm: NormDef | None = None
    mid_features: int | None = None
    activation: Activation = nn.relu

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time height width channels"]
    ) -> Float[Array, "batch out_time out_height out_width features"]:
        strides, padding, dilation = self.geometry(x, self.features, self.groups)
        (time, *space), none = self.window, (0, 0)
        conv = partial(
            Conv,
            groups=self.groups,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
        )
        if time == 1 or space == [1, 1]:
            return conv(
                self.features,
                self.window,
                strides,
                padding,
                dilation,
                use_bias=self.use_bias,
                name="conv",
            )(x)
        mid_features = self.mid_features
        if mid_features is None:
            mid_features = arithmetic.conv2plus1d_features(
                self.window, x.shape[-1], self.features, groups=self.groups
            )
        x = conv(
            mid_features,
            (1, *space),
            (1, *strides[1:]),
            (none, *padding[1:]),
            (1, *dilation[1:]),
            use_bias=self.use_bias and self.norm is None,
            name="spatial",
        )(x)
        x = self.activation(normalized(self.norm, x, "norm"))
        return conv(
            self.features,
            (time, 1, 1),
            (strides[0], 1, 1),
            (padding[0], none, none),
            (dilation[0], 1, 1),
            use_bias=self.use_bias,
            name="temporal",
        )(x)
