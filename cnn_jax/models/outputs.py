"""Kinds of output, and a model as a part of a run."""

from collections.abc import Mapping
from dataclasses import dataclass

import flax.linen as nn

from cnn_jax.core import fit
from cnn_jax.models.network import described


@dataclass(frozen=True)
class Output:
    """A kind of output.

    Attributes:
      name: what a model's and a task's `output_kind` say.
      words: the output in an error.
      advice: which networks to take for such an output.
    """

    name: str
    words: str
    advice: str = "take another network"


OUTPUTS = {
    kind.name: kind
    for kind in (
        Output(
            "logits",
            "one row of logits an image",
            "take another network, one for classification",
        ),
        Output(
            "maps",
            "one row of logits a pixel",
            "take another network, one with head=fcn or unet:NAME",
        ),
        Output(
            "embedding",
            "one vector an image",
            "take another network, one with head=embedding",
        ),
        Output(
            "class_maps",
            "a row of logits an image and the maps that they are the means of",
            "take another network, one with head=cam",
        ),
        Output("picture", "pictures", "take a network for enhancement"),
        Output("boxes", "boxes of objects", "take a detector, fcos:NAME"),
        Output(
            "stylized",
            "pictures in a style",
            "take one of pixels:NAME, johnson:NAME and adain:NAME",
        ),
    )
}


def output_kind(model: nn.Module) -> str:
    """Returns the kind of a model's output: a name of `OUTPUTS`, or a user's word."""
    return described(model).output_kind


def kind_of(name: str) -> Output:
    """Returns the kind of output of a name; a user's own kind has its name as words."""
    return OUTPUTS.get(name, Output(name, name))


def fact(name: str, changes: Mapping[str, str] | None = None) -> fit.Fact:
    """Returns the fact "output kind" of a model that returns outputs of a kind.

    Args:
      changes: for other kinds, how to make the model return them.
    """
    return fit.Fact(name, f"gives {kind_of(name).words}", changes or {})


def part(name: str, model: nn.Module) -> fit.Part:
    """Returns a model as a part of a run.

    Args:
      name: what errors call the model.
    """
    own = described(model)
    gives = {"output kind": fact(own.output_kind), **own.gives}
    return fit.Part(name, gives, own.takes)
