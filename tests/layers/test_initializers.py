"""Initial values: JAX's own where the sizes agree, and their variance where not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.layers import initializers

CASES = [
    (mode, distribution)
    for mode in ("fan_in", "fan_out")
    for distribution in ("normal", "uniform", "truncated_normal")
]


@pytest.mark.parametrize(("mode", "distribution"), CASES)
def test_equals_jax_where_nothing_is_cut_off(mode, distribution):
    shape = (4, 4, 8, 16)  # 2048 numbers
    key = jax.random.key(3)
    ours = initializers.variance_scaling(2.0, mode, distribution)(key, shape)
    theirs = jax.nn.initializers.variance_scaling(2.0, mode, distribution)(key, shape)
    # JAX draws them in the kernel's shape, which are the same numbers.
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("mode", "distribution"), CASES)
def test_variance(mode, distribution):
    shape = (3, 3, 50, 70)
    fan = 9 * (50 if mode == "fan_in" else 70)
    values = initializers.variance_scaling(2.0, mode, distribution)(
        jax.random.key(0), shape, jnp.bfloat16
    )
    assert values.shape == shape and values.dtype == jnp.bfloat16
    values = np.asarray(values, np.float64)
    assert values.std() == pytest.approx((2 / fan) ** 0.5, rel=0.02)
    assert abs(values.mean()) < 0.03 * values.std()
    largest = {"normal": 6, "uniform": 3**0.5, "truncated_normal": 2 / 0.8796}
    assert abs(values).max() < 1.01 * largest[distribution] * (2 / fan) ** 0.5


def test_small_empty_and_large():
    key = jax.random.key(0)
    assert initializers.normal(0.01)(key, (1, 0)).shape == (1, 0)
    three = initializers.normal(0.01)(key, (1, 3))
    assert 0 < abs(three).max() < 0.05
    large = initializers.LARGEST_BLOCK + 1
    shape = jax.eval_shape(lambda: initializers.draw("normal", key, (large,)))
    assert shape.shape == (large,)
    np.testing.assert_allclose(
        initializers.lecun_normal()(key, (64, 32)),
        jax.nn.initializers.lecun_normal()(key, (64, 32)),
        rtol=1e-5,
    )


def test_many_shapes_are_few_programs():
    """Compilation is fast, because kernels of similar size share a random function."""

    def kernels(key):
        init = initializers.lecun_normal()
        return [init(key, (3, 3, 64, features)) for features in range(65, 90)]

    text = jax.jit(kernels).lower(jax.random.key(0)).as_text()
    assert text.count("func.func private @_truncated_normal") <= 2


def test_the_first_filters_copy_the_input():
    """PyTorch's `dirac_` of the first filters, here by what the filters do."""
    init = initializers.identity_first(initializers.normal(1.0))
    kernel = init(jax.random.key(0), (3, 3, 2, 5))
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 2))
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(y[..., :2], x, rtol=1e-6)
    drawn = initializers.normal(1.0)(jax.random.key(0), (3, 3, 2, 5))
    np.testing.assert_array_equal(kernel[..., 2:], drawn[..., 2:])
    narrower = init(jax.random.key(0), (3, 3, 4, 2))
    np.testing.assert_array_equal(narrower[1, 1], np.eye(4, 2))
