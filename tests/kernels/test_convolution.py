"""Each way to compute a convolution and its gradients against XLA's.

Values are small whole numbers, of which all sums are exact in float32: results are
equal, whatever the order of the additions.
"""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_jax.kernels import convolution, convolution_cpu, convolution_xla

IMPLEMENTATIONS = Path(__file__).with_name("implementations.py")

few = partial(
    settings,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=["onednn", "xla"], autouse=True)
def way(request, monkeypatch):
    """Both ways on the CPU; that of oneDNN only where jaxlib is known to have it."""
    monkeypatch.setenv("CNN_JAX_ONEDNN", "1" if request.param == "onednn" else "0")
    if request.param == "onednn" and not convolution_cpu.has_onednn():
        pytest.skip("this jaxlib is not known to call oneDNN")
    # Nothing that was compiled the other way.
    jax.clear_caches()
    convolution._compiled.cache_clear()
    return request.param


def agree(make, *arrays):
    """Checks that `make(convolution)` is equal for our and for XLA's convolution."""
    functions = (convolution.convolution, convolution_xla.convolution)
    results = jax.jit(lambda *arrays: [make(f)(*arrays) for f in functions])(*arrays)
    ours, theirs = map(jax.tree.leaves, results)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    return ours


def problem(g, integers, seed):
    """x, kernel and the output's gradient of a geometry, and its arguments."""
    x = jnp.asarray(integers(seed, 2, *g.space, g.channels), jnp.float32)
    kernel = jnp.asarray(integers(seed + 1, *g.kernel_shape()), jnp.float32)
    shape = jax.eval_shape(
        partial(convolution_xla.convolution, **g.arguments), x, kernel
    )
    return x, kernel, jnp.asarray(integers(seed + 2, *shape.shape), jnp.float32)


@few(max_examples=12)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_value_and_both_gradients(geometries, integers, data, seed):
    g = data.draw(geometries())
    x, kernel, gradient = problem(g, integers, seed)

    def make(function):
        def value_and_gradients(x, kernel, gradient):
            y, pullback = jax.vjp(partial(function, **g.arguments), x, kernel)
            return y, *pullback(gradient)

        return value_and_gradients

    agree(make, x, kernel, gradient)


def scalar(function, arguments, x, kernel):
    """Returns a sum of squares, whose second derivatives are not zero."""
    return jnp.sum(function(x, kernel, **arguments) ** 2)


ARGUMENTS = [
    {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1},
    {"strides": (2, 1), "padding": ((0, 2), (1, 0)), "dilation": (1, 2), "groups": 2},
    {"strides": (1, 1), "padding": ((2, 2), (2, 2)), "dilation": (2, 2), "groups": 4},
]
NAMES = ["plain", "strided", "depthwise"]


@pytest.fixture(params=ARGUMENTS, ids=NAMES)
def case(request, integers):
    x = jnp.asarray(integers(0, 2, 6, 7, 4), jnp.float32)
    kernel = integers(1, 3, 3, 4 // request.param["groups"], 4)
    return request.param, x, jnp.asarray(kernel, jnp.float32)


def test_second_derivatives(case):
    """Backward over backward, forward over backward, backward over forward."""
    arguments, x, kernel = case
    tangents = (jnp.flip(x), jnp.flip(kernel))

    def make(function):
        f = partial(scalar, function, arguments)
        gradient = jax.grad(f, (0, 1))

        def product(x, kernel):
            return sum(map(jnp.vdot, gradient(x, kernel), tangents))

        def slope(x, kernel):
            return jax.jvp(f, (x, kernel), tangents)[1]

        return lambda x, kernel: (
            jax.grad(product, (0, 1))(x, kernel),
            jax.jvp(gradient, (x, kernel), tangents)[1],
            jax.grad(slope, (0, 1))(x, kernel),
        )

    assert all(map(np.any, agree(make, x, kernel)))


@pytest.mark.parametrize("axes", [(0, None), (None, 1), (2, 0)])
def test_vmap(case, axes):
    arguments, x, kernel = case
    xs = x if axes[0] is None else jnp.stack([x, 2 * x, x + 1], axes[0])
    kernels = (
        kernel if axes[1] is None else jnp.stack([kernel, -kernel, kernel * 3], axes[1])
    )

    def make(function):
        f = partial(scalar, function, arguments)
        return jax.vmap(jax.value_and_grad(f, (0, 1)), axes)

    agree(make, xs, kernels)


def test_scan_and_cond(case):
    arguments, x, kernel = case

    def make(function):
        gradient = jax.grad(partial(scalar, function, arguments), (0, 1))

        def looped(x, kernel):
            def body(total, factor):
                parts = jax.lax.cond(
                    factor > 1, gradient, lambda x, w: (x, w), factor * x, kernel
                )
                return jax.tree.map(jnp.add, total, parts), None

            zeros = jax.tree.map(jnp.zeros_like, (x, kernel))
            return jax.lax.scan(body, zeros, jnp.arange(3.0))[0]

        return looped

    agree(make, x, kernel)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32"])
def test_other_dtypes(case, dtype):
    arguments, x, kernel = case
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    if dtype == "int32":
        x = x + 2**25  # more digits than float32 has
    (y,) = agree(lambda function: partial(function, **arguments), x, kernel)
    assert y.dtype == dtype


def test_a_few_examples_at_once(way, case, integers, monkeypatch):
    monkeypatch.setattr(convolution_cpu, "MANY_BYTES", 0)
    monkeypatch.setattr(convolution_cpu, "FEW_BYTES", 0)
    arguments, _, kernel = case
    x = jnp.asarray(integers(0, 12, 6, 7, 4), jnp.float32)

    def make(function):
        return jax.grad(lambda kernel, x: jnp.sum(function(x, kernel, **arguments)))

    if way == "onednn" and arguments["groups"] < 4:  # not depthwise
        loops = jax.jit(make(convolution.convolution)).lower(kernel, x).as_text()
        assert "stablehlo.while" in loops
    agree(make, kernel, x)


def test_outside_of_jit(case):
    arguments, x, kernel = case
    np.testing.assert_array_equal(
        convolution.convolution(x, kernel, **arguments),
        convolution_xla.convolution(x, kernel, **arguments),
    )


def test_pointwise_and_empty(integers):
    arguments = ARGUMENTS[0] | {"padding": ((0, 0), (0, 0)), "strides": (2, 2)}
    for batch in (0, 3):
        x = jnp.asarray(integers(0, batch, 5, 6, 4), jnp.float32)
        kernel = jnp.asarray(integers(1, 1, 1, 4, 5), jnp.float32)
        agree(
            lambda f: jax.value_and_grad(partial(scalar, f, arguments), (0, 1)),
            x,
            kernel,
        )


def test_a_window_that_sees_padding_only():
    arguments = {"strides": (3,), "padding": ((2, 0),), "dilation": (1,), "groups": 1}
    x, kernel = jnp.full((1, 1, 1), 5.0), jnp.ones((1, 1, 2))
    value, gradients = jax.value_and_grad(
        partial(scalar, convolution.convolution, arguments), (0, 1)
    )(x, kernel)
    assert value == 0
    assert not any(map(jnp.any, gradients))


def test_what_is_called(way):
    x, kernel = jnp.ones((2, 8, 8, 16)), jnp.ones((3, 3, 16, 16))

    def loss(x, kernel):
        return convolution.convolution(x, kernel, **ARGUMENTS[0]).sum()

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
    assert ("__onednn$convolution" in text) == (way == "onednn")
    assert ("stablehlo.convolution" in text) == (way == "xla")
    # Accelerators keep XLA's own.
    exported = jax.export.export(jax.jit(jax.grad(loss, (0, 1))), platforms=["cuda"])
    text = exported(x, kernel).mlir_module()
    assert "onednn" not in text
    assert text.count("stablehlo.convolution") == 2


@pytest.mark.parametrize("padding", [(4, 0), (0, 3), (2, 5)])
def test_padding_beyond_the_window(integers, padding):
    """XLA's own gradient reads memory that is not the image's."""
    arguments = {"strides": (1,), "padding": (padding,), "dilation": (1,), "groups": 1}
    x = jnp.asarray(integers(0, 3, 9, 4), jnp.float32)
    kernel = jnp.asarray(integers(1, 2, 4, 4), jnp.float32)

    def value(function, x, kernel):
        return scalar(function, arguments, x, kernel)

    def padded(x, kernel, **arguments):
        x = jnp.pad(x, [(0, 0), padding, (0, 0)])
        return convolution_xla.convolution(
            x, kernel, **arguments | {"padding": ((0, 0),)}
        )

    ours, theirs = (
        jax.grad(partial(value, f), (0, 1))(x, kernel)
        for f in (convolution.convolution, padded)
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_onednn_is_not_asked_for_what_it_hangs_on(way):
    """oneDNN hangs in its matrix product per channel and image ("gemm")."""
    if way == "xla":
        pytest.skip("of oneDNN only")
    alone = (
        "import os, runpy; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        f"runpy.run_path({str(IMPLEMENTATIONS)!r}, run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", alone, "20"],
        env=os.environ | {"ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    implementations = re.findall("exec,cpu,convolution,([^,]*),", ran.stdout)
    assert len(implementations) > 40
    assert not [name for name in implementations if "gemm" in name]
    assert any("dw" in name for name in implementations)
