"""Equal functions of a process are compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring

from cnn_jax.training import programs
from cnn_jax.training.programs import Shared

COMPILED = "/jax/core/compile/backend_compile_duration"
ROWS = np.arange(3, dtype=np.float32)


@pytest.fixture
def compiled(monkeypatch):
    """The list of programs that JAX has compiled."""
    monkeypatch.setattr(programs, "_functions", {})
    found = []

    def note(event, _, **details):
        if event == COMPILED and details.get("fun_name") in ("f", "jit(f)"):
            found.append(details)

    monitoring.register_event_duration_secs_listener(note)
    yield found
    monitoring.unregister_event_duration_listener(note)


def make(factor, name="y"):
    """A new function each time, with a constant."""

    def f(x, rows):
        return {name: x * factor + rows}

    return Shared(jax.jit(f))


def test_an_equal_function_is_not_compiled_again(compiled):
    first, second = make(2.0), make(2.0)
    for x in (1.0, 5.0):
        expected = 2 * np.float32(x) + ROWS
        np.testing.assert_array_equal(first(jnp.float32(x), ROWS)["y"], expected)
        np.testing.assert_array_equal(second(jnp.float32(x), ROWS)["y"], expected)
    assert len(compiled) == 1


@pytest.mark.parametrize(
    "other",
    [
        make(3.0),
        make(2.0, name="z"),
        make(np.arange(3.0)),  # a constant that is an array
        make(np.full(3, 2.0)),
    ],
)
def test_a_different_function_is_another_program(other, compiled):
    x = jnp.float32(1)
    make(2.0)(x, ROWS), other(x, ROWS), make(np.arange(3.0) + 1)(x, ROWS)
    assert len(compiled) == 3


def test_long_constants_are_compared_to_their_last_number(compiled):
    x, rows = jnp.float32(1), np.zeros(100_000, np.float32)
    long = np.arange(100_000.0)
    other = long.copy()
    other[50_000] += 1
    for constant in (long, long.copy(), other):
        np.testing.assert_array_equal(make(constant)(x, rows)["y"], constant)
    assert len(compiled) == 2


def test_other_shapes_are_another_program(compiled):
    function, x = make(2.0), jnp.float32(1)
    for rows in (ROWS, np.arange(4, dtype=np.float32), ROWS):
        np.testing.assert_array_equal(function(x, rows)["y"], 2 + rows)
    assert len(compiled) == 2


def test_few_functions_are_kept(compiled, monkeypatch):
    monkeypatch.setattr(programs, "MOST", 2)
    for factor in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):
        make(factor)(jnp.float32(1), ROWS)
    # 2.0 was the least recently used function when 3.0 came.
    assert len(compiled) == 4 and len(programs._functions) == 2
