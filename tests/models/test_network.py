"""Descriptions of heads, of the package's networks and of users' networks."""

import flax.linen as nn
import pytest

from cnn_jax import models
from cnn_jax.models.network import Network, described, is_head

RESNET = models.create("resnet20")


@pytest.mark.parametrize(
    ("module", "in_head"),
    [
        *((name, True) for name in ("head", "head_conv1", "fc1", "fc12", "aspp")),
        *((name, True) for name in ("context", "embedding", "embedding_norm")),
        *((name, False) for name in ("stem", "stage1_block1", "heads", "fc", "aux")),
        *((name, False) for name in ("head_conv", "my_fc1", "context1")),
    ],
)
def test_layers_of_a_classifiers_head(module, in_head):
    assert is_head(RESNET, module) == in_head


@pytest.mark.parametrize("model", [models.create("mlp"), nn.Dense(3)])
def test_others_have_one_layer(model):
    assert is_head(model, "head") and not is_head(model, "fc1")
    assert described(model).class_layer == ("head",)


def test_what_describes_a_model():
    assert described(RESNET) is RESNET
    assert type(described(nn.Dense(3))) is Network
    assert described(models.create("fcos:resnet18")).class_layer == (
        "classification",
        "logits",
    )
    assert [described(m).auxiliary for m in (RESNET, nn.Dense(3))] == [False, False]
    assert models.create("googlenet").auxiliary
