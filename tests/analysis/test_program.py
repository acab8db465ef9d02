"""Multiply-accumulates of programs."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from cnn_jax import layers
from cnn_jax.analysis import program

SCOPE = re.compile("layer[0-9]+")


def counts(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return program.macs_by_scope(jax.make_jaxpr(function)(*arguments).jaxpr, SCOPE)


def total(function, *shapes):
    return sum(counts(function, *shapes).values())


A, B, PRODUCT = (3, 4), (4, 4), 3 * 4 * 4


@jax.custom_jvp
def custom_jvp(x, w):
    return x @ w


custom_jvp.defjvp(lambda primals, tangents: (custom_jvp(*primals), tangents[0]))


@jax.custom_vjp
def custom_vjp(x, w):
    return x @ w


custom_vjp.defvjp(lambda x, w: (x @ w, None), lambda _, g: (g, g))


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda x, w: x @ w, PRODUCT),
        (lambda x, w: jnp.sum(x * w[:3]), 0),
        (lambda x, w: jnp.einsum("ab,cb->ac", x, w), PRODUCT),
        (lambda x, w: jax.vmap(lambda row: row @ w)(x), PRODUCT),
        (jax.jit(lambda x, w: jax.jit(jnp.matmul)(x, w) @ w), 2 * PRODUCT),
        (jax.checkpoint(lambda x, w: x @ w), PRODUCT),
        (custom_jvp, PRODUCT),
        (custom_vjp, PRODUCT),
        (lambda x, w: lax.scan(lambda c, _: (c @ w, c), x, length=5)[0], 5 * PRODUCT),
        (lambda x, w: lax.fori_loop(0, 6, lambda _, c: c @ w, x), 6 * PRODUCT),
        # The number of turns is not known: one.
        (lambda x, w: lax.while_loop(jnp.any, lambda c: c @ w, x), PRODUCT),
        (
            lambda x, w: lax.cond(
                x[0, 0] > 0, lambda x: x, lambda x: x @ w @ (w @ w), x
            ),
            2 * PRODUCT + 4 * 4 * 4,
        ),
        (
            lambda x, w: lax.switch(
                0, [lambda x: x @ w, lambda x: x @ w @ w, lambda x: x], x
            ),
            2 * PRODUCT,
        ),
    ],
)
def test_programs_inside_of_programs(function, macs):
    assert total(function, A, B) == macs


def convolution(strides=1, padding="SAME", holes=1, dilation=1, groups=1):
    return lambda x, w: lax.conv_general_dilated(
        x,
        w,
        (strides,) * 2,
        padding,
        lhs_dilation=(holes,) * 2,
        rhs_dilation=(dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@pytest.mark.parametrize(
    ("function", "kernel", "macs"),
    [
        (convolution(), (3, 3, 4, 6), 8 * 6 * 9 * 4 * 6),
        (convolution(strides=2), (3, 3, 4, 6), 4 * 3 * 9 * 4 * 6),
        (convolution(padding="VALID", dilation=2), (3, 3, 4, 6), 4 * 2 * 9 * 4 * 6),
        (convolution(groups=2), (3, 3, 2, 6), 8 * 6 * 9 * 2 * 6),
        (convolution(groups=4), (3, 3, 1, 8), 8 * 6 * 9 * 8),
        # Transposed: each value of the input meets the window once.
        (convolution(holes=2, padding=((2, 2),) * 2), (3, 3, 4, 6), 8 * 6 * 9 * 4 * 6),
    ],
)
def test_convolutions(function, kernel, macs):
    assert total(function, (1, 8, 6, 4), kernel) == macs
    assert total(function, (5, 8, 6, 4), kernel) == 5 * macs


def test_other_layouts():
    def torch(x, w):
        return lax.conv(x, w, (2, 1), "SAME")  # NCHW, OIHW

    assert total(torch, (1, 4, 8, 6), (6, 4, 3, 3)) == 4 * 6 * 9 * 4 * 6


def test_the_gradients_of_a_convolution_cost_what_it_costs():
    def convolve(x, w):
        return layers.convolve(
            x,
            w,
            strides=(2, 2),
            padding=((1, 1),) * 2,
            dilation=(1, 1),
            groups=2,
        )

    shapes = (2, 8, 6, 4), (3, 3, 2, 6)
    macs = 2 * 4 * 3 * 9 * 2 * 6
    assert total(convolve, *shapes) == macs
    gradient = jax.grad(lambda x, w: convolve(x, w).sum(), (0, 1))
    assert total(gradient, *shapes) == 3 * macs
    transposed = jax.vjp(convolve, *map(jnp.ones, shapes))[1]
    assert total(transposed, (2, 4, 3, 6)) == 2 * macs


def test_by_scope():
    def network(x, w):
        x = x @ w
        with jax.named_scope("layer1"):
            x = jnp.sin(x @ w)
            with jax.named_scope("other"), jax.named_scope("layer2"):
                x = jax.jit(jnp.matmul)(x, w)
            x = jnp.matmul(x, w)
        with jax.named_scope("layer3"):
            return x + 1

    assert counts(network, A, B) == {
        None: PRODUCT,
        "layer1": 2 * PRODUCT,
        "layer2": PRODUCT,
        "layer3": 0,
    }


def test_scopes_inside_of_loops_and_branches():
    def body(x, w):
        with jax.named_scope("layer2"):
            return x @ w

    def network(x, w):
        with jax.named_scope("layer1"):
            x = lax.scan(lambda c, _: (body(c, w) @ w, None), x, length=3)[0]
        return lax.cond(x[0, 0] > 0, lambda x: small(x, w), lambda x: x @ w @ w, x)

    def small(x, w):
        with jax.named_scope("layer4"):
            return x @ w

    assert counts(network, A, B) == {
        None: 2 * PRODUCT,
        "layer1": 3 * PRODUCT,
        "layer2": 3 * PRODUCT,
        "layer4": 0,
    }
