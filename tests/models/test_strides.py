"""Dilating in place of striding: the same values, on a finer grid."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.layers import arithmetic
from cnn_jax.models import strides
from cnn_jax.models.strides import Step, plan

POOLS = {
    "max": (layers.MaxPool, {}),
    "avg": (layers.AvgPool, {}),
    "avg of the input alone": (layers.AvgPool, {"count_include_pad": False}),
    "l2": (layers.LpPool, {"p": 2.0}),
}
KINDS = [k if k == "max" else pytest.param(k, marks=pytest.mark.full) for k in POOLS]


class Chain(nn.Module):
    """Layers (kind, window, stride, padding, ceil_mode), one after another."""

    chain: tuple
    output_stride: int | None = None

    @nn.compact
    def __call__(self, x):
        rank = x.ndim - 2
        steps = plan([layer[2] for layer in self.chain], self.output_stride, rank)
        for i, (layer, step) in enumerate(zip(self.chain, steps, strict=True)):
            kind, window, _, padding, ceil_mode = layer
            if kind == "conv":
                x = layers.Conv(
                    x.shape[-1],
                    window,
                    step.strides,
                    step.padding(padding),
                    step.before,
                    name=f"conv{i}",
                )(x)
            else:
                pool, attributes = POOLS[kind]
                x = strides.pool(
                    pool,
                    x,
                    window,
                    step,
                    padding=padding,
                    ceil_mode=ceil_mode,
                    name=f"pool{i}",
                    **attributes,
                )
        return x


def run(chain, x, output_stride=None):
    rng = np.random.default_rng(1)
    params = {
        f"conv{i}": {
            "kernel": rng.standard_normal((*window, *x.shape[-1:] * 2)),
            # Not zero, where an error at the border would hide.
            "bias": rng.uniform(0.3, 0.5, x.shape[-1]),
        }
        for i, (kind, window, *_) in enumerate(chain)
        if kind == "conv"
    }
    model = Chain(chain, output_stride)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    return np.array(jax.jit(model.apply)({"params": params}, x))


@st.composite
def chains(draw, rank, kinds=("conv", *POOLS), longest=3):
    """(layers, sizes of an input, output stride)."""

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    chain = []
    for _ in range(draw(st.integers(1, longest))):
        window = sizes(1, 3)
        padding = tuple(draw(st.integers(0, f - 1)) for f in window)
        kind = draw(st.sampled_from(kinds))
        ceil_mode = kind != "conv" and draw(st.booleans())
        chain.append((kind, window, sizes(1, 3), padding, ceil_mode))
    space = left = sizes(1, 12 if rank < 3 else 8)
    for _, window, stride, padding, ceil_mode in chain:
        try:
            left = [
                arithmetic.output_size(n, f, stride=s, padding=p, ceil_mode=ceil_mode)
                for n, f, s, p in zip(left, window, stride, padding, strict=True)
            ]
        except UserError:
            assume(False)
    last = itertools.accumulate((layer[2][-1] for layer in chain), lambda a, b: a * b)
    return tuple(chain), space, draw(st.sampled_from(sorted({1, *last})))


def check(chain, space, output_stride, seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.standard_normal((2, *space, 2)), jnp.float32)
    strided, limited = run(chain, x), run(chain, x, output_stride)
    steps = plan([layer[2] for layer in chain], output_stride, len(space))
    every = (slice(None, None, s) for s in steps[-1].after)
    scale = np.abs(strided).max()
    np.testing.assert_allclose(limited[:, *every], strided, atol=1e-5 * scale)
    return strided, limited


@pytest.mark.full
@settings(max_examples=40, deadline=None)
@given(chains(2), st.integers(0, 2**16))
def test_dilated_network_equals_the_strided_one_sampled(case, seed):
    check(*case, seed)


@pytest.mark.full
@settings(max_examples=20, deadline=None)
@given(chains(3, longest=2), st.integers(0, 2**16))
def test_dilated_network_over_three_dimensions(case, seed):
    check(*case, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "first", "second"),
    [
        # The last windows of both reach beyond the padding; the second's zeros are
        # six pixels wide where it is dilated by six.
        (16, (3, 3, 1, True), (3, 2, 1, True)),
        # The window at the end starts behind the input, in front of which are zeros.
        (2, (3, 2, 1, True), (1, 1, 0, False)),
        # The second strides, dilated by the first's stride.
        (13, (3, 3, 0, True), (2, 2, 0, True)),
    ],
)
def test_pooling_in_ceil_mode(kind, size, first, second):
    chain = tuple(
        (kind, (f, f), (s, s), (p, p), ceil) for f, s, p, ceil in (first, second)
    )
    for output_stride in (1, 2):
        if output_stride == 2 and 2 not in (first[1], second[1]):
            continue
        check(chain, (size, size), output_stride)


def test_every_layer_that_fits_strides():
    # 3 would make 6, 2 behind it makes 4.
    steps = plan([2, 3, 2], 4)
    assert [step.strides for step in steps] == [(2, 2), (1, 1), (2, 2)]
    assert [step.before for step in steps] == [(1, 1), (1, 1), (3, 3)]
    assert steps[-1].after == (3, 3)
    assert steps[1].rest() == Step((1, 1), (1, 1), (3, 3))
    assert steps[1].padding(1) == (1, 1)
    assert steps[2].padding((1, 2)) == (3, 6)


def test_the_last_dimension_counts_in_a_video():
    steps = plan([(1, 2, 2), (2, 2, 2), (2, 1, 1)], 2, rank=3)
    assert [step.strides for step in steps] == [(1, 2, 2), (1, 1, 1), (2, 1, 1)]
    assert [step.before for step in steps] == [(1, 1, 1), (1, 1, 1), (2, 2, 2)]
    assert steps[-1].after == (2, 2, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output_stride", [1, 2, 4, 8])
def test_2x2_pooling_keeps_the_size(kind, output_stride):
    chain = ((kind, (2, 2), (2, 2), (0, 0), False),) * 3
    strided, limited = check(chain, (24, 40), output_stride)
    assert strided.shape[1:3] == (3, 5)
    assert limited.shape[1:3] == (24 // output_stride, 40 // output_stride)
    assert np.isfinite(limited).all()


def test_keeps_the_size_where_a_later_layer_strides():
    chain = tuple(("max", (s, s), (s, s), (0, 0), False) for s in (2, 3, 2))
    _, limited = check(chain, (24, 24), 4)
    assert limited.shape[1:3] == (6, 6)


def test_pooling_that_strides_is_the_plain_layer():
    x = jnp.arange(49.0).reshape(1, 7, 7, 1)
    step = Step((2, 2))
    plain = layers.AvgPool(3, 2, 1, ceil_mode=True)
    y = strides.pool(layers.AvgPool, x, 3, step, padding=1, ceil_mode=True)
    np.testing.assert_array_equal(y, plain.apply({}, x))
