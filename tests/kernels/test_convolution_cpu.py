"""The cases in which oneDNN is called, and gradients as sums of convolutions.

`test_convolution.py` tests that the results are right.
"""

import builtins
import io
import itertools
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.kernels import convolution_cpu

VERSION = min(convolution_cpu.ONEDNN_VERSIONS)


@pytest.fixture
def able(monkeypatch):
    """A machine on which oneDNN is called."""
    monkeypatch.delenv("CNN_JAX_ONEDNN", raising=False)
    monkeypatch.setattr(convolution_cpu.jaxlib, "__version__", VERSION)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(convolution_cpu, "_has_avx2", lambda: True)


def test_onednn_is_called_where_it_is_known(able):
    assert convolution_cpu.has_onednn()


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (convolution_cpu.jaxlib, "__version__", "99.0"),
        (platform, "system", lambda: "Darwin"),
        (platform, "machine", lambda: "aarch64"),
        (convolution_cpu, "_has_avx2", lambda: False),
    ],
)
def test_elsewhere_it_is_not(owner, name, value, able, monkeypatch):
    monkeypatch.setattr(owner, name, value)
    assert not convolution_cpu.has_onednn()


@pytest.mark.parametrize(("text", "called"), [("0", False), ("1", True), ("", True)])
def test_the_user_may_leave_it_out(text, called, able, monkeypatch):
    monkeypatch.setenv("CNN_JAX_ONEDNN", text)
    assert convolution_cpu.has_onednn() == called


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("flags\t\t: fpu sse avx avx2 fma\n", True),
        ("flags\t\t: fpu sse avx avx2x\n", False),
        ("model name: avx2\n", False),
        (None, False),
    ],
)
def test_old_processors_are_known_by_their_flags(text, has, monkeypatch):
    def opened(path, **_):
        if text is None:
            raise FileNotFoundError(path)
        return io.StringIO(text)

    monkeypatch.setattr(builtins, "open", opened)
    assert convolution_cpu._has_avx2.__wrapped__() == has


@pytest.mark.parametrize(
    ("a", "b", "called"),
    [
        (((1, 4, 4, 2), "float32"), ((3, 3, 2, 2), "float32"), True),
        (((1, 4, 4, 2), "bfloat16"), ((3, 3, 2, 2), "bfloat16"), False),
        (((0, 4, 4, 2), "float32"), ((3, 3, 2, 2), "float32"), False),
    ],
)
def test_what_onednn_takes(a, b, called, able):
    arrays = (jnp.zeros(*x) for x in (a, b))
    assert convolution_cpu._by_onednn(*arrays) == called


PLAIN = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}


@pytest.mark.parametrize(
    ("size", "change", "called"),
    [
        ((8, 8), {}, True),
        ((8, 8), {"strides": (2, 2)}, True),
        ((8, 8), {"dilation": (2, 2), "padding": ((2, 2), (2, 2))}, True),
        ((8, 8), {"strides": (2, 1), "dilation": (1, 2)}, False),
        ((8, 8), {"padding": ((3, 0), (0, 0))}, False),  # as large as the window
        ((8, 8), {"dilation": (4, 4), "padding": ((4, 4), (4, 4))}, False),
        ((2, 8), {}, False),  # the window does not fit into the image
        ((3, 8), {"padding": ((0, 0), (0, 0))}, False),  # one row comes out
    ],
)
def test_depthwise_convolutions_that_onednn_surely_has(size, change, called, able):
    """oneDNN hangs on other depthwise convolutions, so they are not given to it."""
    x = jnp.zeros((1, *size, 4))
    kernel = jnp.zeros((3, 3, 1, 4))
    found = convolution_cpu._depthwise_by_onednn(x, kernel, **PLAIN | change)
    assert found == called


def test_depthwise_convolutions_of_volumes_are_not_onednns(able):
    x = jnp.zeros((1, 8, 8, 8, 4))
    kernel = jnp.zeros((3, 3, 3, 1, 4))
    given = {"strides": (1,) * 3, "padding": ((1, 1),) * 3, "dilation": (1,) * 3}
    assert not convolution_cpu._depthwise_by_onednn(x, kernel, **given)


def test_without_onednn_nothing_is_called(able, monkeypatch):
    monkeypatch.setenv("CNN_JAX_ONEDNN", "0")
    x, kernel = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 3))

    def program():
        def convolve(x, kernel):
            return convolution_cpu.convolution(x, kernel, groups=1, **PLAIN)

        return jax.jit(convolve).lower(x, kernel).as_text()

    assert "onednn" not in program()
    monkeypatch.setenv("CNN_JAX_ONEDNN", "1")
    assert "__onednn$convolution" in program()


# ------------------------------------------------------------------------- the phases


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize(("taps", "padding"), [(1, (0, 0)), (3, (1, 1)), (4, (2, 0))])
def test_phases_are_the_gradient_tap_by_tap(stride, dilation, taps, padding):
    """The gradient of a convolution along one dimension is written out in loops."""
    size = 11
    reach = dilation * (taps - 1)
    outputs = (size + sum(padding) - reach - 1) // stride + 1
    rng = np.random.default_rng(0)
    gradient = rng.integers(-9, 10, outputs)
    kernel = rng.integers(-9, 10, taps)
    expected = np.zeros(size, int)
    for o, k in itertools.product(range(outputs), range(taps)):
        place = o * stride + k * dilation - padding[0]
        if 0 <= place < size:
            expected[place] += gradient[o] * kernel[k]
    found = np.zeros(size + stride, int)
    phases = convolution_cpu._phases(size, outputs, taps, stride, padding, dilation)
    for start, phase in enumerate(phases):
        if not phase.taps:
            continue
        weights = kernel[phase.taps][::-1]
        before, after = phase.padding
        padded = np.zeros(max(before, 0) + outputs + max(after, 0), int)
        padded[max(before, 0) : max(before, 0) + outputs] = gradient
        padded = padded[max(-before, 0) : len(padded) - max(-after, 0)]
        reached = phase.dilation * (len(weights) - 1)
        assert len(padded) - reached == phase.size  # no output more than is needed
        for q in range(phase.size):
            seen = padded[q :: phase.dilation][: len(weights)]
            if start + q * stride < size:
                found[start + q * stride] = seen @ weights
    np.testing.assert_array_equal(found[:size], expected)


# ------------------------------------------------------------------- a few at a time


@given(many=st.integers(1, 300), example=st.integers(1, 2**24))
def test_how_many_at_once(many, example):
    few = convolution_cpu._examples_at_once(many, many * example)
    assert many % few == 0
    assert few in (many, convolution_cpu.FEWEST_EXAMPLES) or (
        few * example <= convolution_cpu.FEW_BYTES
    )
    if many % 4 == 0 and many * example > convolution_cpu.MANY_BYTES:
        assert few < many or many == 4


def test_a_jaxlib_that_nobody_tried_is_left_to_xla(monkeypatch):
    monkeypatch.setenv("CNN_JAX_ONEDNN", "1")
    monkeypatch.setattr(convolution_cpu.jaxlib, "__version__", "99.0")
    assert not convolution_cpu.has_onednn()
