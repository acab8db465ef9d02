"""Kinds of output, and the attributes by which a model describes itself to a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn

from cnn_jax.core import fit


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


class Plain:
    """The defaults of these attributes, which hold for a plain linen module.

    A module overrides a default by an attribute or a property of the same name.

    Attributes:
      output_kind: the kind of the outputs: a name of `OUTPUTS`, or a word of a user
        whose task has the same word.
      gives, takes: further facts and needs; see `core.fit`.
      knows_normalization: whether the fields `mean` and `std` take the normalization
        of the data.
      any_style: whether images are pairs of a content and a style of the user's.
      one_picture: whether the model learns, and can change, one picture alone.
      predicted: the method that `predict` applies to images; None: `__call__`.
    """

    output_kind: ClassVar[str] = "logits"
    gives: ClassVar[Mapping[str, Any]] = {}
    takes: ClassVar[Sequence[fit.Need]] = ()
    knows_normalization: ClassVar[bool] = False
    any_style: ClassVar[bool] = False
    one_picture: ClassVar[bool] = False
    predicted: ClassVar[str | None] = None


def said(model: nn.Module, name: str) -> Any:
    """Returns a model's attribute, or the default of that name in `Plain`."""
    return getattr(model, name, getattr(Plain, name))


def output_kind(model: nn.Module) -> str:
    """Returns the kind of a model's output: a name of `OUTPUTS`, or a user's word."""
    return said(model, "output_kind")


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
    gives = {"output kind": fact(output_kind(model))} | dict(said(model, "gives"))
    return fit.Part(name, gives, said(model, "takes"))
