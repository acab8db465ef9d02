import itertools
import math
from functools import partial
from unittest.mock import ANY

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.models import pixel_heads


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


@pytest.fixture
def assert_dilation_samples(random_variables):
    """A function of (model, output stride, input size) that compares last maps.

    That of the network at the output stride, sampled, must be the network's own.
    """

    def check(model, output_stride, size):
        dilating = model.clone(output_stride=output_stride)
        variables = random_variables(model, (size, size, 3))
        x = jax.random.normal(jax.random.key(0), (1, size, size, 3))
        last_map = jax.jit(models.features, static_argnums=0)
        strided = np.array(last_map(model, variables, x))
        dilated = np.array(last_map(dilating, variables, x))
        every = math.prod(model.subsampling) // output_stride
        assert every > 1
        assert strided.shape[1] > 1
        assert dilated.shape[1] > strided.shape[1]
        scale = np.abs(strided).max()
        assert scale > 0
        sampled = dilated[:, ::every, ::every]
        np.testing.assert_allclose(sampled, strided, atol=1e-5 * scale)

    return check


@pytest.fixture
def output_of():
    """A function of (model, input shape) to the shape of the logits."""

    def shape(model, input_shape):
        x = jax.ShapeDtypeStruct((2, *input_shape), jnp.float32)
        init = partial(model.init_with_output, train=False)
        logits, _ = jax.eval_shape(init, jax.random.key(0), x)
        return logits.shape

    return shape


@pytest.fixture
def head_shapes():
    """A function of (head, size of the input in space) to the shapes of what it makes
    of two images for seven classes."""

    def shapes(head, space):
        if head == "embedding":
            return {"embedding": (2, 512), "cosine": (2, 7)}
        if head == "cam":  # maps of the last map's size
            return {"logits": (2, 7), "maps": ANY}
        return (2, *space, 7) if head in pixel_heads.WIDTHS else (2, 7)

    return shapes


@pytest.fixture
def dropped_layers():
    """A function of (model, input shape) to the layers with dropout behind them."""

    def find(model, input_shape):
        calls = []

        def record(method, args, kwargs, context):
            y = method(*args, **kwargs)
            if context.method_name == "__call__":
                calls.append(context.module)
            return y

        def init(key, x):  # a function of its own, since JAX caches traces by function
            return model.init(key, x, train=False)

        x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
        with nn.intercept_methods(record):
            jax.eval_shape(init, jax.random.key(0), x)
        return [
            before.name
            for before, module in itertools.pairwise(calls)
            if isinstance(module, layers.Dropout)
        ]

    return find
