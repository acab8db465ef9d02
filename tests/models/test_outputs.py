"""Kinds of output, and models as parts of a run."""

import flax.linen as nn
import pytest

from cnn_jax import models
from cnn_jax.core.fit import Need
from cnn_jax.models import classifier, outputs
from cnn_jax.models.classifier import HEADS
from cnn_jax.models.network import Network, described


class Linear(nn.Module):
    """A network of somebody else's."""

    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.num_classes)(x.reshape(len(x), -1))


class Depth(Network):
    """A network of somebody else's that describes itself."""

    output_kind = "depth"
    gives = {"unit": "m"}  # noqa: RUF012
    takes = (Need("image rank", {2}),)


class SameWord(Linear):
    """A network whose own attributes have names of `Network`."""

    takes: int = 3
    predicted: bool = True


@pytest.mark.parametrize("model", [Linear(3), SameWord(3)])
def test_a_plain_module(model):
    """A plain module gives logits, takes images of any rank, and has no style."""
    part = outputs.part("Linear", model)
    assert {name: fact.value for name, fact in part.gives.items()} == {
        "output kind": "logits"
    }
    assert part.takes == ()
    for name in ("any_style", "one_picture", "predicted", "knows_normalization"):
        assert not getattr(described(model), name)


def test_a_module_that_says_more():
    part = outputs.part("Depth", Depth())
    assert part.gives["output kind"].value == "depth"
    assert part.gives["output kind"].words == "gives depth"
    assert part.gives["unit"] == "m" and part.takes == Depth.takes


def test_every_kind_has_its_words():
    for name, kind in outputs.OUTPUTS.items():
        assert kind.name == name and kind.words and kind.advice.startswith("take ")
        assert outputs.kind_of(name) is kind


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_the_way_to_its_kind(head):
    small = {"stem": "small", "width": 4, "stage_sizes": (1,)}
    model = models.create("resnet20", num_classes=3, head=head, **small)
    fact = outputs.part("net", model).gives["output kind"]
    assert fact.value == model.output_kind == classifier.KINDS[head]
    heads = fact.changes[fact.value].removeprefix("take head=")
    assert head in heads.replace(" or ", ", ").split(", ")
    assert fact.changes.keys() <= outputs.OUTPUTS.keys()


def test_auxiliary_heads_are_a_fact_where_there_are_some():
    def facts(**attributes):
        return outputs.part("net", models.create("googlenet", **attributes)).gives

    assert facts()["auxiliary output"].value == "logits"
    assert "auxiliary output" not in facts(auxiliary=False)
