import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.layers import Dropout, SpatialDropout, StochasticDepth

LAYERS = [Dropout, SpatialDropout, StochasticDepth]


def run(layer, x, rate, seed=0, deterministic=False):
    module = layer(rate, deterministic=deterministic)
    return np.array(module.apply({}, x, rngs={"dropout": jax.random.key(seed)}))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("layer", "fates"),
    [
        (Dropout, lambda y: y),
        # One a map, and one an example: the first pixel tells of all.
        (SpatialDropout, lambda y: y[(slice(None), *[slice(1)] * (y.ndim - 2))]),
        (StochasticDepth, lambda y: y[(slice(None), *[slice(1)] * (y.ndim - 1))]),
    ],
)
@pytest.mark.parametrize("rate", [0.2, 0.75])
def test_what_is_left_out_together(layer, fates, rank, rate):
    x = jnp.ones((400, *(2, 3, 2)[:rank], 5))
    y = run(layer, x, rate)
    kept = fates(y) != 0
    np.testing.assert_array_equal(y != 0, np.broadcast_to(kept, y.shape))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)
    # Five standard deviations of a mean of independent fates.
    tolerance = 5 * np.sqrt(rate * (1 - rate) / kept.size)
    assert kept.mean() == pytest.approx(1 - rate, abs=tolerance)
    # No two neighbors share their fate more often than chance has it.
    for axis in range(kept.ndim):
        if kept.shape[axis] == 1:
            continue
        a, b = (np.take(kept, range(i, kept.shape[axis] - 1 + i), axis) for i in (0, 1))
        both = (1 - rate) ** 2
        # Overlapping pairs are dependent: three times the variance is plenty.
        spread = np.sqrt(3 * both * (1 - both) / a.size)
        assert (a & b).mean() == pytest.approx(both, abs=5 * spread)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_expectation_is_the_input(layer):
    x = jax.random.normal(jax.random.key(1), (3, 2, 2, 4))
    keys = jax.random.split(jax.random.key(2), 4000)
    module = layer(0.3, deterministic=False)
    mean = jax.vmap(lambda key: module.apply({}, x, rngs={"dropout": key}))(keys).mean(
        0
    )
    deviation = np.abs(x) * np.sqrt(0.3 / 0.7 / len(keys))
    assert (np.abs(mean - x) < 5 * deviation).all()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("rate", "deterministic"), [(0.9, True), (0.0, False)])
def test_nothing_in_evaluation_or_at_rate_zero(layer, rate, deterministic):
    x = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
    # There is no random stream, and none is asked for.
    y = layer(rate, deterministic=deterministic).apply({}, x)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("layer", LAYERS)
def test_random_numbers_come_from_the_stream_dropout(layer):
    x = jnp.ones((64, 2, 2, 8))
    np.testing.assert_array_equal(run(layer, x, 0.5, 1), run(layer, x, 0.5, 1))
    assert (run(layer, x, 0.5, 1) != run(layer, x, 0.5, 2)).any()
    with pytest.raises(Exception, match='needs PRNG for "dropout"'):
        layer(0.5, deterministic=False).apply({}, x)


@pytest.mark.parametrize("layer", LAYERS)
def test_keeps_dtype_and_passes_no_gradient_to_what_is_left_out(layer):
    x = jnp.full((64, 2, 2, 8), 3, jnp.bfloat16)
    module = layer(0.5, deterministic=False)
    y, back = jax.vjp(
        lambda x: module.apply({}, x, rngs={"dropout": jax.random.key(0)}), x
    )
    assert y.dtype == jnp.bfloat16
    (gradient,) = back(jnp.ones_like(y))
    assert set(np.unique(y.astype(float))) == {0, 6}
    np.testing.assert_array_equal(gradient, y / 3)


@pytest.mark.parametrize("layer", LAYERS)
def test_is_one_layer(layer):
    """The layer is one module. A table of layers would show an inner module too."""
    calls = []

    def record(call, args, kwargs, context):
        calls.append(type(context.module))
        return call(*args, **kwargs)

    with nn.intercept_methods(record):
        run(layer, jnp.ones((2, 3, 3, 4)), 0.5)
    assert calls == [layer]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rate", [-0.1, 1.0, 50.0, float("nan")])
def test_impossible_rates(layer, rate):
    with pytest.raises(UserError, match=f"{layer.__name__}: rate={rate} must be"):
        layer(rate, deterministic=True)
