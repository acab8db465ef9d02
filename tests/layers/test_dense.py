"""The fully connected layer is linen's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers


class Net(nn.Module):
    """Two layers, named by linen."""

    kind: type
    attributes: dict

    @nn.compact
    def __call__(self, x):
        return self.kind(3, **self.attributes)(self.kind(4)(x))


@pytest.mark.parametrize("attributes", [{}, {"use_bias": False, "dtype": "bfloat16"}])
def test_names_initial_values_and_outputs_are_those_of_linen(attributes):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
    ours, theirs = (
        Net(kind, attributes).init_with_output(jax.random.key(0), x)
        for kind in (layers.Dense, nn.Dense)
    )
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(ours[1]["params"]) == {"Dense_0", "Dense_1"}


def test_cost_and_words():
    dense = layers.Dense(7, use_bias=False)
    assert dense.macs((3, 4), (3, 7)) == 3 * 4 * 7
    assert dense.explain((4,), (7,)) == (
        "Fully Connected",
        "7 units, no bias; 4*7 = 28",
    )
