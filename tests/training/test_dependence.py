"""Which outputs depend on the first argument."""

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.training.dependence import dependent


def test_outputs_that_depend_on_it():
    def function(x, y):
        total, _ = lax.scan(lambda carry, row: (carry + row, None), 0.0, x)
        inside = jax.checkpoint(lambda a, b: {"a": a * 2, "b": b * 2})(x, y)
        return {"scanned": total, "other": y + 1, "shape": jnp.zeros(x.shape), **inside}

    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    assert dependent(function, x, x) == {"scanned", "a"}
    assert dependent(lambda x: {}, x) == set()
