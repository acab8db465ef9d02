"""Multiply-accumulates of layers, by the formulas of `layers.arithmetic`."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np

from cnn_jax import layers
from cnn_jax.layers import arithmetic
from cnn_jax.models import style_transfer

Shape = tuple[int, ...]


def _conv(
    conv: layers.Conv | layers.LocallyConnected, in_shape: Shape, out_shape: Shape
) -> int:
    return arithmetic.conv_macs(
        out_shape[:-1], conv.window, in_shape[-1], out_shape[-1], groups=conv.groups
    )


def _depthwise(conv: layers.DepthwiseConv, in_shape: Shape, out_shape: Shape) -> int:
    return arithmetic.depthwise_macs(
        out_shape[:-1], conv.window, in_shape[-1], multiplier=conv.multiplier
    )


def _transposed(conv: layers.ConvTranspose, in_shape: Shape, out_shape: Shape) -> int:
    return arithmetic.transposed_macs(
        in_shape[:-1], conv.window, in_shape[-1], out_shape[-1], groups=conv.groups
    )


def _filter_bank(bank: layers.FilterBank, in_shape: Shape, out_shape: Shape) -> int:
    filters = len(bank.filters)
    return arithmetic.depthwise_macs(
        out_shape[:-1], bank_window(bank), in_shape[-1], multiplier=filters
    )


def bank_window(bank: layers.FilterBank) -> tuple[int, int]:
    """Height and width of a bank's largest filters."""
    shapes = [
        layers.FILTERS[f].shape if isinstance(f, str) else np.shape(f)
        for f in bank.filters
    ]
    return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def _dense(
    _: layers.Dense | layers.CosineDense, in_shape: Shape, out_shape: Shape
) -> int:
    vectors = math.prod(out_shape[:-1])
    return vectors * arithmetic.dense_macs(in_shape[-1], out_shape[-1])


def none(_: nn.Module, in_shape: Shape, out_shape: Shape) -> int:
    """Those of layers that only add, compare or scale."""
    return 0


# Multiply-accumulates of (module, shape of its input, shape of its output), for
# every type of module with parameters. By the convention of the literature they
# are those of convolutions and fully connected layers; normalization can be folded
# into the convolution before it.
MACS: dict[type[nn.Module], Callable[[Any, Shape, Shape], int]] = {
    layers.Conv: _conv,
    layers.ConvTranspose: _transposed,
    layers.DepthwiseConv: _depthwise,
    layers.FilterBank: _filter_bank,
    layers.LocallyConnected: _conv,
    layers.Dense: _dense,
    layers.CosineDense: _dense,
    layers.BatchNorm: none,
    layers.GroupNorm: none,
    layers.InstanceNorm: none,
    layers.LayerNorm: none,
    style_transfer.Canvas: none,
}
