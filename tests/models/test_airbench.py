"""Airbench: the published cost, the maps, and the initial parameters."""

import jax
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis import costs

CIFAR = (32, 32, 3)
TINY = {"num_classes": 5, "widths": (4, 6, 8)}


def test_rows():
    """Jordan 2024: 0.36 PFLOP for 9.9 epochs."""
    table = costs.layer_table(models.create("airbench94", num_classes=10), CIFAR)
    parameters, macs = costs.totals(table)[:2]
    # Sums over the layers; the batch normalizations have no scale.
    kernels = 24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256
    assert parameters == 2 * 2 * 3 * 24 + 24 + 9 * kernels + 2 * 576 + 256 * 10
    # A multiply-accumulate is two operations; a training step computes three passes.
    assert 6 * macs * 9.9 * 50_000 / 1e15 == pytest.approx(0.36, rel=0.03)
    shapes = [(row.name, row.output_shape) for row in table if "norm" not in row.name]
    assert shapes == [
        ("input", (32, 32, 3)),
        ("whiten", (31, 31, 24)),
        ("group1_conv1", (31, 31, 64)),
        ("group1_pool", (15, 15, 64)),
        ("group1_conv2", (15, 15, 64)),
        ("group2_conv1", (15, 15, 256)),
        ("group2_pool", (7, 7, 256)),
        ("group2_conv2", (7, 7, 256)),
        ("group3_conv1", (7, 7, 256)),
        ("group3_pool", (3, 3, 256)),
        ("group3_conv2", (3, 3, 256)),
        ("pool", (1, 1, 256)),
        ("flatten", (256,)),
        ("head", (10,)),
    ]


def test_parameters_of_the_narrow_network():
    """The PyTorch model of Jordan's `airbench93` has as many trainable parameters and
    whitening filters."""
    table = costs.layer_table(models.create("airbench93", num_classes=10), CIFAR)
    assert costs.totals(table)[0] == 569_016


def test_initial_parameters():
    model = models.create("airbench94", **TINY)
    images = jax.random.normal(jax.random.key(1), (20, 16, 16, 3))
    images = images.cumsum(1)
    params = jax.jit(model.init, static_argnums=2)(jax.random.key(0), images, False)
    params = params["params"]
    whitening = layers.whitening_kernel(images, (2, 2), 5e-4)
    np.testing.assert_allclose(params["whiten"]["kernel"], whitening, atol=1e-2)
    # The first filters copy the channels, as many as the layer has.
    kernel = np.asarray(params["group2_conv1"]["kernel"])
    np.testing.assert_array_equal(kernel[1, 1, :, :4], np.eye(4))
    assert np.abs(kernel[..., :4]).sum() == 4
    # PyTorch's default draws the others: uniform up to the root of 1 / fan-in.
    assert 0.8 / 6 < np.abs(kernel[..., 4:]).max() <= 1 / 6
    assert set(params["group1_norm1"]) == {"bias"}
    assert set(params["head"]) == {"kernel"}


def test_logits_are_divided_by_nine(random_variables):
    model = models.create("airbench94", **TINY)
    variables = random_variables(model, (16, 16, 3))
    x = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    logits, state = jax.jit(
        lambda v, x: model.apply(
            v, x, False, capture_intermediates=True, mutable=["intermediates"]
        )
    )(variables, x)
    (last,) = state["intermediates"]["group3_norm2"]["__call__"]
    largest = jax.nn.gelu(last, approximate=False).max((1, 2))
    expected = largest @ variables["params"]["head"]["kernel"] / 9
    np.testing.assert_allclose(logits, expected, rtol=1e-4)


def test_dilation(assert_dilation_samples):
    model = models.create("airbench94", head="gap", **TINY)
    assert_dilation_samples(model, 1, 25)
