"""Kinds of model output, and the model as a part of a run."""

from collections.abc import Mapping
from dataclasses import dataclass

import flax.linen as nn

from cnn_jax.core import fit
from cnn_jax.models.network import described


@dataclass(frozen=True)
class Output:
    """A kind of model output.

    Attributes:
      name: the name that models and tasks state in their attribute `output_kind`.
      words: a description of the output for error messages.
      advice: how to get this kind of output, for error messages.
    """

    name: str
    words: str
    advice: str = "take another network"


OUTPUTS = {
    kind.name: kind
    for kind in (
        Output(
            "logits",
            "one row of logits per image",
            "take another network, for classification",
        ),
        Output(
            "maps",
            "one row of logits per pixel",
            "take unet:NAME, or another network with head=fcn",
        ),
        Output(
            "embedding",
            "one vector per image",
            "take another network, with head=embedding",
        ),
        Output(
            "class_maps",
            "one row of logits per image, with a class map for each logit",
            "take another network, with head=cam",
        ),
        Output("picture", "pictures", "take a network for enhancement, such as edsr"),
        Output("boxes", "boxes of objects", "take a detector: fcos:NAME"),
        Output(
            "stylized",
            "pictures in a style",
            "take pixels:NAME, johnson:NAME or adain:NAME",
        ),
    )
}


def output_kind(model: nn.Module) -> str:
    """Returns a model's kind of output: a name of `OUTPUTS`, or a user's own kind."""
    return described(model).output_kind


def kind_of(name: str) -> Output:
    """Returns the kind of output with this name, also for a user's own kind."""
    return OUTPUTS.get(name, Output(name, name))


def fact(name: str, changes: Mapping[str, str] | None = None) -> fit.Fact:
    """Returns the fact "output kind" of a model; see `core.fit`.

    Args:
      name: the kind of the model's outputs.
      changes: for each other kind, advice on how to get this other kind from the model.
    """
    return fit.Fact(name, f"gives {kind_of(name).words}", changes or {})


def part(name: str, model: nn.Module) -> fit.Part:
    """Returns a model as a part of a run; see `core.fit`.

    Args:
      name: the name of the model in error messages.
    """
    own = described(model)
    gives = {"output kind": fact(own.output_kind), **own.gives}
    return fit.Part(name, gives, own.takes)
