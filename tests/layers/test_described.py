"""Every layer of the package states its cost and its explanation."""

import inspect
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax import layers
from cnn_jax.analysis import calls, costs, program
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
# Further attributes that single layers need.
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
def test_every_layer_states_its_cost_and_its_explanation(name):
    shape = (6, 16, 16, 4) if name == "Conv2Plus1D" else (16, 16, 4)
    table = costs.layer_table(Around(example(name)), shape)
    assert not table.traced
    for row in table:
        assert row.receptive_field is not None
        assert row.kind and (row.explanation or row.kind == row.type)
        if row.parameters:
            assert row.explanation


def formulas_and_counts(make, shape):
    """Returns the multiply-accumulates of each call of a layer of the package, by its
    formula and in the traced program."""
    recorder, module = calls.Recorder(), Around(make)

    def init(x):
        return module.init(jax.random.key(0), x, False)

    def run(variables, x):
        with recorder.recording():
            return module.apply(variables, x, False)

    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    traced = jax.make_jaxpr(run)(jax.eval_shape(init, x), x)
    counted = program.macs_by_scope(traced.jaxpr, recorder.scope)
    return [
        (call.module.macs(call.in_shape, call.out_shape), counted.get(call.scope, 0))
        for call in calls.layers(recorder.calls, (), counted)
    ]


# Layers that multiply and accumulate, beside their plain form.
GEOMETRIES = [
    (partial(layers.Conv, 6, 3, strides=2, dilation=2, groups=2), (9, 8, 4)),
    (partial(layers.Conv, 6, (3, 5), (2, 1), padding="VALID"), (9, 8, 4)),
    (partial(layers.Conv, 4, (3,), use_bias=False), (9, 2)),
    (partial(layers.Conv, 4, (1, 3, 2), padding=1), (5, 6, 7, 2)),
    (partial(layers.DepthwiseConv, 3, 2, multiplier=2), (8, 6, 3)),
    (partial(layers.LocallyConnected, 4, 3, padding=0, groups=2), (6, 5, 2)),
    (partial(layers.ConvTranspose, 6, 3, 2, padding=1), (5, 4, 2)),
    (partial(layers.ConvTranspose, 6, 3, padding="VALID", groups=2), (5, 4, 2)),
    (partial(layers.ConvTranspose, 4, (4,), 2, output_padding=1, padding=0), (7, 3)),
    (partial(layers.FilterBank, ("gaussian", "sobel_vertical")), (6, 5, 2)),
    (partial(layers.Dense, 7), (3, 5, 4)),
    (partial(layers.Resize, (9, 5)), (3, 5, 4)),
    (partial(layers.GroupNorm, group_size=2), (3, 5, 4)),
]


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        *((example(n), (6, 16, 16, 4)[n != "Conv2Plus1D" :]) for n in MODULES),
        *GEOMETRIES,
        (partial(style_transfer.Canvas, "content"), (4, 4, 3)),
    ],
)
def test_formula_and_program_agree(make, shape):
    found = formulas_and_counts(make, shape)
    assert [formula for formula, _ in found] == [counted for _, counted in found]


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


class Scale(layers.Described, nn.Module):
    """A user's layer, with `nn.nowrap` and without."""

    factor: float = 2.0

    def setup(self):
        self.scale = self.param("scale", nn.initializers.ones, (4,))

    def __call__(self, x):
        return self.factor * x * self.scale

    @nn.nowrap
    def macs(self, in_shape, out_shape):
        return 5 * out_shape[-1]

    def explain(self, in_shape, out_shape):
        return "Scaling", f"by {self.factor:g}"


def test_a_layer_of_a_user_states_its_own():
    row = row_of(Scale, (6, 5, 4))
    assert (row.macs, row.parameters, row.traced) == (20, 4, False)
    assert (row.kind, row.explanation) == ("Scaling", "by 2")


@pytest.mark.parametrize("layer", [Scale(), Scale(3.0, name="scale"), norm()])
def test_the_methods_need_no_variables(layer):
    assert layer.macs((4,), (4,)) in (0, 20)
    assert layer.explain((4,), (4,))[0] in ("Scaling", "Batch Normalization")


def test_without_words_a_layer_is_its_class():
    class Double(layers.Described, nn.Module):
        pass

    assert Double().explain((4, 4, 3), (4, 4, 3)) == ("Double", "")
    assert Double().macs((4, 4, 3), (4, 4, 3)) == 0
