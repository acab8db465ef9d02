"""Network in network: the published count, maps, dropout, heads and dilation."""

import jax
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError

CIFAR = (32, 32, 3)


def test_rows():
    table = costs.layer_table(models.create("nin", num_classes=10), CIFAR)
    assert costs.totals(table)[0] == 966_986  # that of the authors' release
    assert [(row.name, row.output_shape) for row in table if row.type != "Dropout"] == [
        ("input", (32, 32, 3)),
        ("conv1", (32, 32, 192)),
        ("cccp1", (32, 32, 160)),
        ("cccp2", (32, 32, 96)),
        ("pool1", (16, 16, 96)),
        ("conv2", (16, 16, 192)),
        ("cccp3", (16, 16, 192)),
        ("cccp4", (16, 16, 192)),
        ("pool2", (8, 8, 192)),
        ("conv3", (8, 8, 192)),
        ("cccp5", (8, 8, 192)),
        ("head", (8, 8, 10)),
        ("pool", (10,)),
    ]


@pytest.mark.parametrize(
    ("head", "behind"), [("conv_gap", []), ("gap", []), ("flatten_fc", ["fc1", "fc2"])]
)
def test_dropout_is_behind_the_poolings_and_not_before_the_head(
    head, behind, dropped_layers
):
    model = models.create("nin", num_classes=3, head=head, width_multiplier=0.1)
    assert dropped_layers(model, CIFAR) == ["pool1", "pool2", *behind]


def test_logits_are_means_of_rectified_maps(random_variables):
    model = models.create("nin", num_classes=5, width_multiplier=0.03)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32)

    @jax.jit
    def run(variables, x):
        return model.apply(
            variables, x, False, capture_intermediates=True, mutable=["intermediates"]
        )

    logits, state = run(random_variables(model, (8, 8, 3)), x)
    (maps,) = state["intermediates"]["head"]["__call__"]
    assert maps.shape == (2, 2, 2, 5)
    assert (maps < 0).any()
    expected = np.maximum(maps, 0).mean((1, 2))
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


@pytest.mark.parametrize("head", ["gap", "conv_gap", "flatten_fc", "pyramid"])
def test_heads(head, output_of):
    model = models.create("nin", num_classes=7, head=head, width_multiplier=0.1)
    assert output_of(model, (8, 8, 1)) == (2, 7)


def test_dilation(assert_dilation_samples):
    model = models.create("nin", num_classes=2, width_multiplier=0.03)
    assert_dilation_samples(model, 1, 21)


def test_impossible_width():
    with pytest.raises(UserError, match=r"width_multiplier=0\.0 must be above 0"):
        models.create("nin", num_classes=2, width_multiplier=0.0)
