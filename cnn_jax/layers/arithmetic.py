"""The arithmetic of convolutional layers: output sizes, parameters, operations.

Notation of the docstrings: n input size, f kernel size, s stride, d dilation,
p zeros added at each end, g groups, c_in and c_out channels.
"""

import math
from collections.abc import Sequence

from cnn_jax.errors import UserError


def output_size(
    size: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Length of a convolution's or pooling's output along one dimension.

        floor((n + 2p - d(f - 1) - 1) / s) + 1

    `padding` is p, or a pair (before, after) that takes the place of 2p. With
    `ceil_mode` the division rounds up, but a last window that would start in the
    padding after the input is left out, as in PyTorch's pooling.

    Raises:
      UserError: the kernel is longer than the padded input.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    extent = dilation * (kernel_size - 1) + 1
    room = size + before + after - extent
    if room < 0:
        raise UserError(
            f"a kernel that spans {extent} does not fit into an input of {size} "
            f"with padding ({before}, {after})."
        )
    if not ceil_mode:
        return room // stride + 1
    windows = -(-room // stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return windows


def conv_parameters(
    kernel_size: Sequence[int],
    in_features: int,
    features: int,
    *,
    groups: int = 1,
    use_bias: bool = True,
) -> int:
    """Trainable parameters of a convolution: f * f * c_in / g * c_out + c_out."""
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
    """Multiply-accumulates of a convolution on one example.

        h_out * w_out * f * f * c_in / g * c_out

    `output_shape` is the output's size in space, without channels. The addition
    of the bias is left out, as the literature does.
    """
    weights = conv_parameters(
        kernel_size, in_features, features, groups=groups, use_bias=False
    )
    return math.prod(output_shape) * weights


def dense_parameters(in_features: int, features: int, *, use_bias: bool = True) -> int:
    """Trainable parameters of a fully connected layer: c_in * c_out + c_out."""
    return in_features * features + features * use_bias


def dense_macs(in_features: int, features: int) -> int:
    """Multiply-accumulates of a fully connected layer on one vector: c_in * c_out."""
    return in_features * features
