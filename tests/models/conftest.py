import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def random_variables():
    """A function of (model, input shape) to random variables, without compiling.

    No bias or mean is zero, where an error at the border of a map would hide.
    """

    def make(model, input_shape):
        rng = np.random.default_rng(0)

        def fill(leaf):
            if leaf.ndim == 1:
                value = rng.uniform(0.3, 0.5, leaf.shape)
            else:
                fan_in = np.prod(leaf.shape[:-1])
                value = rng.standard_normal(leaf.shape) * np.sqrt(2 / fan_in)
            return jnp.asarray(value, leaf.dtype)

        shapes = jax.eval_shape(
            lambda x: model.init(jax.random.key(0), x, train=False),
            jax.ShapeDtypeStruct((1, *input_shape), jnp.float32),
        )
        return jax.tree.map(fill, shapes)

    return make
