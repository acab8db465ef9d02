"""Theoretical fields against measured ones, and against published ones."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs, receptive_field
from cnn_jax.layers import arithmetic

# Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks":
# fields of the last map before the head.
ARAUJO = {"alexnet": 195, "alexnet_grouped": 195, "vgg16": 212, "inception_v3": 1311}
# The same table; its ResNets stride in a stage's last block, where ours do in the
# first of the next one (427, 971 and 1451).
ARAUJO_RESNETS = [((3, 4, 6, 3), 483), ((3, 4, 23, 3), 1027), ((3, 8, 36, 3), 1507)]
ARAUJO_MOBILENET = 315

conv = partial(layers.Conv, use_bias=False)
norm = partial(layers.BatchNorm, use_running_average=True)


class Chain(nn.Module):
    """Modules and functions, one after the other."""

    steps: tuple

    @nn.compact
    def __call__(self, x, train):
        for step in self.steps:
            x = step.copy()(x) if isinstance(step, nn.Module) else step(x)
        return x


class Branches(nn.Module):
    """An inception block with all that can happen to branches, and a residual sum."""

    @nn.compact
    def __call__(self, x, train):
        x = conv(4, 3, 2)(x)
        branches = [
            conv(4, 1)(x),
            conv(4, 3, padding=1)(conv(2, 1)(x)),
            conv(4, (1, 5))(conv(2, (3, 1), dilation=(2, 1))(x)),
            conv(4, 1)(layers.max_pool(x, 3, 1, 1)),
        ]
        y = jnp.concatenate(branches, axis=-1)
        y = layers.max_pool(y, 2)
        return conv(4, 1, 2, padding=0)(x) + conv(4, 3, padding=1)(y)


class UNet(nn.Module):
    """Down, up, and across."""

    @nn.compact
    def __call__(self, x, train):
        skip = conv(2, 3)(x)
        y = conv(4, 3)(layers.max_pool(skip, 2))
        y = layers.ConvTranspose(2, 3, 2, use_bias=False)(y)
        return conv(2, 3)(jnp.concatenate([skip, y], axis=-1))


def space_to_depth(x):
    n, height, width, channels = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height // 2, width // 2, -1)


def depth_to_space(x):
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, 2, 2, channels // 4)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * 2, width * 2, -1)


def as_matrix_product(x):
    """A 3x3 convolution, by im2col."""
    return layers.convolve_as_matrix_product(
        x,
        jnp.ones((3, 3, 2, 2)),
        strides=(2, 1),
        padding=((1, 1), (0, 2)),
        dilation=(1, 2),
        groups=1,
    )


def mirrored(x):
    return jnp.pad(x, [(0, 0), (3, 3), (2, 0), (0, 0)], mode="reflect")


def chain(*steps):
    return Chain(steps)


def resnet(stride_last, stages, width=64):
    """ResNet's maps, with strides in the first or the last block of each stage."""
    steps = [conv(width, 7, 2, padding=3), partial_pool]
    for i, blocks in enumerate(stages):
        for j in range(blocks):
            last = stride_last and j == blocks - 1 and i < len(stages) - 1
            first = not stride_last and j == 0 and i > 0
            strides = 2 if first or last else 1
            steps.append(layers.Bottleneck(width, conv, norm, strides=strides))
    return chain(*steps)


def partial_pool(x):
    return layers.max_pool(x, 3, 2, 1)


NETWORKS = {
    "convolution": (chain(conv(2, 5, padding=0), conv(2, 3)), (24, 17)),
    "stride": (chain(conv(2, 3, 2), conv(2, 5, 3, padding=1), conv(2, 3)), (48, 42)),
    "even kernel": (chain(conv(2, 4, 2), conv(2, 2)), (24, 25)),
    "dilation": (chain(conv(2, 3, dilation=2), conv(2, 3, dilation=(3, 1))), (24, 20)),
    "pooling": (
        chain(
            lambda x: layers.avg_pool(x, 3, 2, 1, ceil_mode=True),
            lambda x: layers.max_pool(x, 2, 1, dilation=3),
            lambda x: layers.lp_pool(x, (2, 3)),
        ),
        (48, 44),
    ),
    "branches": (Branches(), (40, 44)),
    "transposed": (UNet(), (28, 24)),
    "transposed, output padding": (
        chain(
            layers.ConvTranspose(2, 2, 3, padding=0, output_padding=2, use_bias=False),
            conv(2, 2, padding=0),
        ),
        (9, 8),
    ),
    "space to depth": (chain(space_to_depth, conv(8, 3), depth_to_space), (24, 20)),
    "nearest": (
        chain(conv(2, 3), lambda x: jnp.repeat(x, 3, axis=1), conv(2, 2)),
        (10, 9),
    ),
    "mirrored": (chain(mirrored, conv(2, 3)), (12, 10)),
    "mirrored filters": (
        layers.FilterBank(["gaussian"], padding="reflect", name=None),
        (12, 10),
    ),
    "adaptive": (chain(conv(2, 3), lambda x: layers.adaptive_avg_pool(x, 4)), (13, 8)),
    "separable": (
        chain(layers.SeparableConv(4, 3, 2, use_bias=False), conv(2, 3)),
        (16, 18),
    ),
    "locally connected": (
        chain(layers.LocallyConnected(2, 3, 2, use_bias=False)),
        (12, 9),
    ),
    "matrix product": (
        chain(conv(2, 3, 2), as_matrix_product, conv(2, 3)),
        (20, 23),
    ),
    "interpolated": (
        chain(
            conv(2, 3, 2),
            conv(2, 3, 2),
            lambda x: layers.resize_bilinear(x, size=(24, 32)),
            conv(2, 3),
        ),
        (24, 32),
    ),
    "interpolated, by no whole number": (
        chain(
            conv(2, 3, 2),
            lambda x: layers.resize_bilinear(x, size=(25, 18)),
            lambda x: layers.resize_bilinear(x, size=(10, 18)),
        ),
        (20, 24),
    ),
    "subsampled": (chain(conv(2, 3), lambda x: x[:, 1::3, 2:-1]), (16, 14)),
    "interpolated clips": (
        chain(
            conv(2, (3, 3, 3), (1, 2, 2)),
            lambda x: layers.resize_bilinear(x, size=(6, 16, 12)),
        ),
        (6, 16, 12),
    ),
    "video": (
        chain(conv(2, (3, 3, 3), (1, 2, 2)), conv(2, (2, 1, 3), (2, 1, 1), padding=0)),
        (12, 14, 16),
    ),
}
MODELS = {
    "resnet": ("resnet20", {"width": 2, "stage_sizes": (1, 1, 1)}, (56, 48)),
    "dilated resnet": (
        "resnet20",
        {"width": 2, "stage_sizes": (1, 1, 1), "output_stride": 2},
        (56, 48),
    ),
}


def positive(shapes):
    """Weights that let nothing cancel, without biases: zeros stay zeros."""

    def fill(path, leaf):
        name = path[-1].key
        if name in ("bias", "mean"):
            return jnp.zeros(leaf.shape, leaf.dtype)
        return jnp.ones(leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def measured(function, variables, size, axis):
    """seen[i, j]: whether outputs at position i of `axis` depend on inputs at j.

    All weights are positive, so an input of zeros makes zeros, and lifting a line of
    it lifts all that depends on the line, whatever the other lines are.
    """
    lines = jnp.eye(size[axis - 1])
    shape = [1] * (len(size) + 2)
    shape[0], shape[axis] = lines.shape
    x = jnp.broadcast_to(lines.reshape(shape), (len(lines), *size, 1))
    y = np.asarray(jax.jit(function)(variables, x))
    others = tuple(i for i in range(1, y.ndim) if i != axis)
    return (y > 0).any(others).T


def check(function, variables, size):
    """Every field inside the input is what is measured, at all positions; where
    padding takes a part of it, nothing else is seen."""
    x = jax.ShapeDtypeStruct((1, *size, 1), jnp.float32)
    _, [extents] = receptive_field.trace(function, variables, x)
    for axis, extent in enumerate(extents, start=1):
        assert extent.axis == axis and not extent.whole
        n, sizes = size[axis - 1], []
        for i, row in enumerate(measured(function, variables, size, axis)):
            found, field = np.flatnonzero(row), extent.at(i)
            if field is None or field.start >= n or field.end < 0:
                assert not found.size
            elif field.start >= 0 and field.end < n:
                assert (found[0], found[-1]) == (field.start, field.end)
                sizes.append(field.size)
            else:
                assert field.start <= found[0] and found[-1] <= field.end
        assert extent.receptive_field == max(sizes)


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS)
def test_theory_is_what_is_measured(name):
    network, size = NETWORKS[name]
    arguments = () if isinstance(network, layers.FilterBank) else (False,)
    x = jnp.zeros((1, *size, 1))
    variables = positive(
        jax.eval_shape(lambda x: network.init(jax.random.key(0), x, *arguments), x)
    )
    check(lambda v, x: network.apply(v, x, *arguments), variables, size)


@pytest.mark.parametrize("name", MODELS)
def test_theory_is_what_is_measured_of_models(name):
    architecture, attributes, size = MODELS[name]
    model = models.create(architecture, num_classes=2, **attributes)
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False),
        jnp.zeros((1, *size, 1)),
    )
    check(partial(models.features, model), positive(shapes), size)


@pytest.mark.parametrize("name", ARAUJO)
def test_published_fields(name, table_of):
    features = table_of(name).features
    assert features.receptive_field == (ARAUJO[name],) * 2
    assert features.stride == (32, 32)


def field_of(network, size=224):
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), x)
    _, [extents] = receptive_field.trace(
        lambda v, x: network.apply(v, x, False), variables, x
    )
    assert extents[0] == dataclasses.replace(extents[1], axis=1)
    return extents[0]


@pytest.mark.full
@pytest.mark.parametrize(("stages", "field"), ARAUJO_RESNETS)
def test_published_fields_of_resnets(stages, field):
    extent = field_of(resnet(True, stages))
    assert (extent.receptive_field, extent.stride) == (field, 32)


def test_resnet50_strides_in_first_blocks(table_of):
    extent = field_of(resnet(False, (3, 4, 6, 3)))
    features = table_of("resnet50").features
    assert features.receptive_field == (extent.receptive_field,) * 2 == (427, 427)
    assert features.offset == (extent.offset,) * 2 == (-213, -213)


def test_published_field_of_mobilenet():
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    steps = [conv(8, 3, 2)]
    for stride in strides:
        steps.append(layers.DepthwiseConv(3, stride))
        steps.append(conv(8, 1))
    extent = field_of(chain(*steps))
    assert (extent.receptive_field, extent.stride) == (ARAUJO_MOBILENET, 32)


def test_a_chain_is_the_formula_of_arithmetic():
    geometry = [(7, 2, 1), (3, 2, 1), (3, 1, 4), (1, 2, 1), (2, 1, 3)]
    steps = [conv(1, f, s, dilation=d) for f, s, d in geometry]
    extent = field_of(chain(*steps), 64)
    assert extent.receptive_field == arithmetic.receptive_field(geometry)


class Head(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = conv(4, 3, 2, name="conv")(x)
        x = layers.SqueezeExcitation(2, name="gate")(x)
        x = conv(4, 3, name="behind")(x)
        x = layers.GlobalAvgPool(name="pool")(x)
        return layers.Dense(2, name="head")(x)


def rows_of(network, shape):
    return {row.name: row for row in costs.layer_table(network, shape)}


def test_what_sees_the_whole_input():
    rows = rows_of(Head(), (32, 20, 3))
    fields = {name: row.receptive_field for name, row in rows.items()}
    assert fields == {
        "input": (1, 1),
        "conv": (3, 3),
        "gate/pool": (32, 20),
        "gate/reduce": (32, 20),
        "gate/expand": (32, 20),
        "behind": (32, 20),
        "pool": (32, 20),
        "head": (32, 20),
    }
    assert rows["conv"].stride == rows["behind"].stride == (2, 2)
    assert rows["pool"].stride == rows["gate/pool"].stride == (None, None)


@pytest.mark.parametrize(
    "step", [layers.GroupNorm(num_groups=1), layers.GlobalAvgPool(), layers.Flatten()]
)
def test_statistics_and_vectors_see_the_whole_input(step):
    x = jax.ShapeDtypeStruct((1, 8, 6, 4), jnp.float32)
    network = chain(step)
    variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), x)
    _, [extents] = receptive_field.trace(
        lambda v, x: network.apply(v, x, False), variables, x
    )
    assert [extent.receptive_field for extent in extents] == [8, 6]
    assert all(extent.whole for extent in extents)


def test_a_vector_of_a_part_sees_that_part():
    class Corner(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = conv(2, 3, padding=0)(x)[:, :2, :1]
            return layers.Flatten(name="flatten")(x)

    row = rows_of(Corner(), (8, 9, 1))["flatten"]
    assert row.receptive_field == (4, 3)
    assert row.offset == (0, 0)


def test_a_field_is_not_clipped_before_it_is_the_whole_input(table_of):
    rows = {row.name: row for row in table_of("vgg16")}
    assert rows["pool5"].receptive_field == (212, 212)
    assert rows["pool5"].offset == (-90, -90)
    assert rows["flatten"].receptive_field == (224, 224)
    assert table_of("resnet152").features.receptive_field == (1451, 1451)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: jnp.sort(x, axis=1), "sort"),
        (lambda x: jnp.cumsum(x, axis=2), "cumsum"),
        (lambda x: jax.lax.fori_loop(0, 2, lambda _, y: 2 * y, x), "scan"),
    ],
)
def test_unknown_operation_is_named(function, name):
    x = jax.ShapeDtypeStruct((1, 8, 8, 2), jnp.float32)
    with pytest.raises(TypeError, match=rf"operation {name} on float32\[1,8,8,2\]"):
        receptive_field.trace(function, x)


def test_unknown_operation_leaves_a_dash():
    class Sorted(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return conv(2, 3, name="conv")(jnp.sort(x, axis=1))

    table = costs.layer_table(Sorted(), (8, 8, 3))
    assert table[1].parameters == 54 and table[1].receptive_field is None
    assert costs.as_json(table)["layers"][1]["receptive_field"] is None
    (line,) = [line for line in costs.render(table).splitlines() if "conv" in line]
    assert line.split()[-3] == "-"


def test_operations_on_constants_need_no_rule():
    def function(x):
        return x * jnp.sort(jnp.arange(8.0))[:, None]

    x = jax.ShapeDtypeStruct((1, 8, 8, 2), jnp.float32)
    _, [extents] = receptive_field.trace(function, x)
    assert [extent.receptive_field for extent in extents] == [1, 1]
