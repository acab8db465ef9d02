"""The arithmetic of convolutional layers: output sizes, parameters, operations.

Notation of the docstrings: n is the input size, f the kernel size, s the stride, d the
dilation, p the number of zeros added at each end, and g the number of groups. c_in and
c_out are input and output channels; h and w are height and width of the maps.
"""

import math
from collections.abc import Sequence

from cnn_jax.core.errors import UserError
from cnn_jax.layers.receptive_field import ReceptiveField as ReceptiveField
from cnn_jax.layers.receptive_field import receptive_field as receptive_field


def output_size(
    size: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Returns the length of a convolution's or pooling's output along one dimension.

        floor((n + 2p - d(f - 1) - 1) / s) + 1

    `padding` is p, or a pair (before, after) in place of 2p. With `ceil_mode` the
    division rounds up, but a last window that would start in the padding after the
    input is left out, as in PyTorch's pooling.

    Raises:
      UserError: the kernel is longer than the padded input.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    extent = dilation * (kernel_size - 1) + 1
    room = size + before + after - extent
    if room < 0:
        raise UserError(
            f"a kernel that spans {extent} does not fit into an input of {size} with "
            f"padding ({before}, {after}): use a smaller kernel or a larger input."
        )
    if not ceil_mode:
        return room // stride + 1
    windows = -(-room // stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return windows


def same_padding(
    size: int, kernel_size: int, *, stride: int = 1, dilation: int = 1
) -> tuple[int, int]:
    """Returns the padding (before, after) of TensorFlow's "SAME".

    With this padding the output has ceil(n / s) values. The number of zeros is

        max((ceil(n / s) - 1) s + d(f - 1) + 1 - n, 0)

    Half of the zeros go to each end; if their number is odd, the end gets one more.
    """
    outputs = -(-size // stride)
    needed = (outputs - 1) * stride + dilation * (kernel_size - 1) + 1
    total = max(needed - size, 0)
    return total // 2, total - total // 2


def transposed_output_size(
    size: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    output_padding: int = 0,
) -> int:
    """Returns the length of a transposed convolution's output along one dimension.

        (n - 1) s - 2p + d(f - 1) + output_padding + 1

    A convolution with the same stride, padding and dilation turns an input of this
    length into an output of length n. There are s such lengths. An `output_padding` of
    0 gives the shortest length; values from 1 to s - 1 give the others.

    Raises:
      UserError: the output would be empty.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    extent = dilation * (kernel_size - 1) + 1
    length = (size - 1) * stride - before - after + extent + output_padding
    if length < 1:
        raise UserError(
            f"padding ({before}, {after}) leaves no output for a kernel that spans "
            f"{extent} and has stride {stride}, on an input of {size}: use less "
            "padding."
        )
    return length


def conv_parameters(
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    use_bias: bool = True,
) -> int:
    """Counts the parameters of a convolution: f * f * c_in / g * c_out + c_out."""
    weights = math.prod(kernel_size) * (in_features // groups) * features
    return weights + features * use_bias


def conv_macs(
    output_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
) -> int:
    """Counts the multiply-accumulates of a convolution on one example.

        h_out * w_out * f * f * c_in / g * c_out

    `output_shape` is the output's spatial size, without channels. Additions of the bias
    are not counted, as in the literature.
    """
    weights = conv_parameters(
        kernel_size, in_features, features, groups=groups, use_bias=False
    )
    return math.prod(output_shape) * weights


def transposed_macs(
    input_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
) -> int:
    """Counts the multiply-accumulates of a transposed convolution on one example.

        h_in * w_in * f * f * c_in / g * c_out

    Each input value is multiplied by the whole kernel, even where padding cuts off the
    product. `conv_parameters` counts the parameters.
    """
    return conv_macs(input_shape, kernel_size, in_features, features, groups=groups)


def depthwise_parameters(
    kernel_size: Sequence[int],
    in_features: int,
    *,
    multiplier: int = 1,
    use_bias: bool = True,
) -> int:
    """Counts the trainable parameters of a depthwise convolution.

        f * f * c_in * m + c_in * m

    m is the `multiplier`, the number of maps that are made of each channel.
    """
    features = in_features * multiplier
    return conv_parameters(
        kernel_size, in_features, features, groups=in_features, use_bias=use_bias
    )


def depthwise_macs(
    output_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    *,
    multiplier: int = 1,
) -> int:
    """Counts the multiply-accumulates of a depthwise convolution on one example.

        h_out * w_out * f * f * c_in * m

    m is the `multiplier`, the number of maps that are made of each channel.
    """
    features = in_features * multiplier
    return conv_macs(
        output_shape, kernel_size, in_features, features, groups=in_features
    )


def separable_parameters(
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    multiplier: int = 1,
    use_bias: bool = True,
) -> int:
    """Counts the trainable parameters of a depthwise and then a 1x1 convolution.

        f * f * c_in * m + c_in * m / g * c_out + c_out

    m is the `multiplier` of the depthwise convolution. If the window is 1, there is no
    depthwise convolution, and the 1x1 convolution has c_in input channels.
    """
    first = 0
    if math.prod(kernel_size) > 1:
        first = depthwise_parameters(
            kernel_size, in_features, multiplier=multiplier, use_bias=False
        )
        in_features *= multiplier
    return first + conv_parameters(
        (1,), in_features, features, groups=groups, use_bias=use_bias
    )


def separable_macs(
    output_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    multiplier: int = 1,
) -> int:
    """Counts the multiply-accumulates of a depthwise and then a 1x1 convolution.

        h_out * w_out * (f * f * c_in * m + c_in * m / g * c_out)

    m is the `multiplier` of the depthwise convolution.
    """
    return math.prod(output_shape) * separable_parameters(
        kernel_size,
        in_features,
        features,
        groups=groups,
        multiplier=multiplier,
        use_bias=False,
    )


def flattened_parameters(
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    use_bias: bool = True,
) -> int:
    """Counts the trainable parameters of a flattened convolution.

        (c_in / g + f + f) * c_out + 3 c_out

    This is the formula for two dimensions. A dimension with a window of 1 adds neither
    an f nor a bias.
    """
    along = [f for f in kernel_size if f > 1]
    weights = in_features // groups + sum(along)
    return (weights + (1 + len(along)) * use_bias) * features


def flattened_macs(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
) -> int:
    """Counts the multiply-accumulates of a flattened convolution on one example.

        (h_in * w_in * c_in / g + h_out * w_in * f + h_out * w_out * f) * c_out

    This is the formula for two dimensions. Its terms are the layer's convolutions in
    order: over the channels, the height and the width. The stride of a dimension with a
    window of 1 is in the convolution over the channels.
    """
    parts = list(zip(input_shape, output_shape, kernel_size, strict=True))
    sizes = [after if f == 1 else before for before, after, f in parts]
    macs = math.prod(sizes) * (in_features // groups)
    for axis, (_, after, f) in enumerate(parts):
        sizes[axis] = after
        if f > 1:
            macs += math.prod(sizes) * f
    return macs * features


def conv2plus1d_features(
    kernel_size: Sequence[int], in_features: int, features: int, *, groups: int = 1
) -> int:
    """Returns the number of channels between the two parts of a (2+1)D convolution.

        floor(t d d c_in c_out / (d d c_in + t c_out))

    `kernel_size` is (t, d, d): the window t over time, d over space. With the result,
    the two parts together have as many parameters as the three-dimensional convolution
    that they replace, rounded down (Tran et al. 2018, section 3.5). With groups, c_in
    and c_out are the channels of one group, and the result is the sum over the groups.
    """
    time, *space = kernel_size
    area = math.prod(space)
    c_in, c_out = in_features // groups, features // groups
    return groups * (time * area * c_in * c_out // (area * c_in + time * c_out))


def conv2plus1d_parameters(
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    mid_features: int | None = None,
) -> int:
    """Counts the trainable parameters of a (2+1)D convolution.

        d d c_in m / g + t m c_out / g

    t is the window over time and d the window over space. m is `mid_features`, the
    number of channels between the two parts; None is `conv2plus1d_features`. There are
    no biases, and the normalization between the parts is not counted. A convolution
    with a window of 1 over time or space is not split.
    """
    return sum(
        conv_parameters(window, before, after, groups=groups, use_bias=False)
        for window, before, after in _conv2plus1d(
            kernel_size, in_features, features, groups, mid_features
        )
    )


def conv2plus1d_macs(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    mid_features: int | None = None,
) -> int:
    """Counts the multiply-accumulates of a (2+1)D convolution on one example.

        t_in * h_out * w_out * d d c_in m / g + t_out * h_out * w_out * t m c_out / g

    `conv2plus1d_parameters` explains t, d and m.
    """
    parts = _conv2plus1d(kernel_size, in_features, features, groups, mid_features)
    shapes = [(input_shape[0], *output_shape[1:]), tuple(output_shape)][-len(parts) :]
    return sum(
        conv_macs(shape, window, before, after, groups=groups)
        for shape, (window, before, after) in zip(shapes, parts, strict=True)
    )


def _conv2plus1d(kernel_size, in_features, features, groups, mid_features):
    """Returns (window, input channels, output channels) of each part of the layer."""
    time, *space = kernel_size
    if time == 1 or math.prod(space) == 1:
        return [(tuple(kernel_size), in_features, features)]
    if mid_features is None:
        mid_features = conv2plus1d_features(
            kernel_size, in_features, features, groups=groups
        )
    return [
        ((1, *space), in_features, mid_features),
        ((time, 1, 1), mid_features, features),
    ]


def locally_connected_parameters(
    output_shape: Sequence[int],
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    use_bias: bool = True,
) -> int:
    """Counts the trainable parameters of a locally connected layer.

        h_out * w_out * (f * f * c_in / g * c_out + c_out)

    Each output position has its own kernel. `conv_macs` counts the multiply-accumulates
    of the layer.
    """
    return math.prod(output_shape) * conv_parameters(
        kernel_size, in_features, features, groups=groups, use_bias=use_bias
    )


def dense_parameters(in_features: int, features: int, *, use_bias: bool = True) -> int:
    """Counts the parameters of a fully connected layer: c_in * c_out + c_out."""
    return in_features * features + features * use_bias


def dense_macs(in_features: int, features: int) -> int:
    """Counts the multiply-accumulates of a fully connected layer on one vector."""
    return in_features * features
