"""Every layer of the package has a row: operations, field and words."""

import inspect
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import pytest

from cnn_jax import layers
from cnn_jax.analysis import costs, operations
from cnn_jax.layers import arithmetic
from cnn_jax.models import style_transfer

MODULES = {
    name: value
    for name, value in vars(layers).items()
    if inspect.isclass(value) and issubclass(value, nn.Module)
}
conv = partial(layers.Conv, use_bias=False)
norm = partial(layers.BatchNorm, use_running_average=True)
# Values for attributes without a default, whichever layer has them.
VALUES = {
    "features": 4,
    "kernel_size": 3,
    "window": 2,
    "output_size": 2,
    "p": 2.0,
    "rate": 0.5,
    "deterministic": True,
    "conv": conv,
    "norm": norm,
    "filters": ("sobel_vertical",),
    "times": 2,
    "num_groups": 2,
    "block": partial(layers.Conv, 4, 3),
    "dilation": 1,
    "squeeze": 4,
    "expand1x1": 4,
    "expand3x3": 4,
    "cells": 2,
}
# What else single layers need.
ATTRIBUTES = {
    "FilterBank": {"learned": True},
    "BatchNorm": {"use_running_average": True},
    "GroupNorm": {"num_groups": 2},
    "Resize": {"size": (5, 5)},
    "PixelShuffle": {"scale": 2},
    "ASPP": {"rates": (1, 2), "conv": partial(layers.ConvUnit, norm=norm)},
}


class Around(nn.Module):
    """The layer that an attribute makes, as a network."""

    make: object

    @nn.compact
    def __call__(self, x, train):
        return self.make(name="layer")(x)


def example(name):
    """The layer `name` with any attributes that make a layer."""
    kind = MODULES[name]
    attributes = dict(ATTRIBUTES.get(name, {}))
    for key, parameter in inspect.signature(kind).parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in attributes:
            assert key in VALUES, f"say in VALUES or ATTRIBUTES what {name}.{key} is"
            attributes[key] = VALUES[key]
    return partial(kind, **attributes)


@pytest.mark.parametrize("name", MODULES)
def test_every_layer_is_known(name):
    shape = (6, 16, 16, 4) if name == "Conv2Plus1D" else (16, 16, 4)
    table = costs.layer_table(Around(example(name)), shape)
    for row in table:
        assert row.receptive_field is not None
        assert row.kind and (row.explanation or row.kind == row.type)
        if row.parameters:
            assert row.explanation


def row_of(make, shape):
    _, row = costs.layer_table(Around(make), shape)
    return row


def test_parameters_and_operations_of_convolutions():
    row = row_of(partial(layers.ConvTranspose, 6, 3, 2, padding=1), (5, 4, 2))
    assert row.output_shape == (9, 7, 6)
    assert (row.parameters, row.macs) == (3 * 3 * 2 * 6 + 6, 5 * 4 * 9 * 2 * 6)
    row = row_of(partial(layers.DepthwiseConv, 3, 2, multiplier=2), (8, 6, 3))
    assert (row.parameters, row.macs) == (9 * 6 + 6, 4 * 3 * 9 * 6)
    row = row_of(partial(layers.LocallyConnected, 4, 3, padding=0), (6, 5, 2))
    assert (row.parameters, row.macs) == (12 * (9 * 2 * 4 + 4), 12 * 9 * 2 * 4)
    bank = partial(layers.FilterBank, ("gaussian", "sobel_vertical"))
    row = row_of(bank, (6, 5, 2))
    assert (row.parameters, row.macs) == (0, 30 * 25 * 2 * 2)
    row = row_of(partial(bank, learned=True), (6, 5, 2))
    assert (row.parameters, row.macs) == (25 * 2 * 2, 30 * 25 * 2 * 2)


@pytest.mark.parametrize("rank", [2, 3])
def test_factorized_convolutions_are_the_formulas_of_arithmetic(rank):
    shape = (6, 10, 8, 6)[3 - rank :]
    table = costs.layer_table(
        Around(partial(layers.SeparableConv, 4, (3,) * rank, multiplier=2)), shape
    )
    window = ((3,) * rank, 6, 4)
    assert table.parameters == arithmetic.separable_parameters(*window, multiplier=2)
    assert table.macs == arithmetic.separable_macs(shape[:-1], *window, multiplier=2)
    table = costs.layer_table(
        Around(partial(layers.FlattenedConv, 4, (3,) * rank)), shape
    )
    assert table.parameters == arithmetic.flattened_parameters(*window)
    assert table.macs == arithmetic.flattened_macs(shape[:-1], shape[:-1], *window)


def test_normalization_has_parameters_and_no_operations():
    for make, parameters in [
        (norm, 8),
        (partial(layers.GroupNorm, num_groups=2), 8),
        (layers.LayerNorm, 8),
        (partial(layers.LayerNorm, use_scale=False), 4),
    ]:
        row = row_of(make, (6, 5, 4))
        assert (row.parameters, row.macs) == (parameters, 0)


def test_dropout_is_no_row():
    for name in ("Dropout", "SpatialDropout", "StochasticDepth"):
        table = costs.layer_table(Around(example(name)), (8, 8, 4))
        assert [row.name for row in table] == ["input"]


@pytest.mark.parametrize(
    ("dtype", "size"), [(None, 4), (jnp.bfloat16, 2), (jnp.float16, 2)]
)
def test_memory_is_that_of_the_computation(dtype, size):
    row = row_of(partial(layers.Conv, 4, 3, dtype=dtype), (6, 5, 3))
    assert row.memory == 6 * 5 * 4 * size
    assert set(operations.MACS) - set(MODULES.values()) == {style_transfer.Canvas}
