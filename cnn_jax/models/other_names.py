"""Names of layers in the weight files of other libraries.

A family's rules translate paths of modules here, such as "stage1_block1/conv1", into
torchvision's, such as "layer1.0.conv1". A rule is a regular expression for the whole
path, and the name in torchvision: a string, or a function of the expression's groups
(groups of digits are passed as integers). Indices of layers in torchvision's sequences
(`features.10`) count layers without parameters too, so they follow from the network's
attributes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rules = Sequence[tuple[str, str | Callable[..., str]]]
State = Mapping[str, Any]


def _as_it_is(state: State) -> State:
    return state


@dataclass(frozen=True)
class OtherNames:
    """Names of a network's layers in torchvision's files, and in timm's.

    Attributes:
      rules: a function from a network to the rules for its layers.
      head: torchvision's name of the layer `head`.
      auxiliary: torchvision's names of the auxiliary heads, by the names here. A
        network with auxiliary heads can be made with `auxiliary=False`.
      backbone: the names of the network inside of this one, without its head, whose
        names in the file begin with "backbone."; None where there is none.
      model: torchvision's name of the network; None is the name here.
      renamed: a function from a state dict of timm, or of an old torchvision, to the
        same arrays by torchvision's names of today, in torchvision's shapes.
    """

    rules: Callable[[Any], Rules]
    head: str
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    backbone: "OtherNames | None" = None
    model: str | None = None
    renamed: Callable[[State], State] = _as_it_is

    def translate(self, model: Any, path: str) -> str | None:
        """Returns torchvision's name of a module of `model`; None where it has none."""
        for pattern, name in (("head", self.head), *self.rules(model)):
            if match := re.fullmatch(pattern, path):
                if isinstance(name, str):
                    return name
                return name(*(int(g) if g.isdigit() else g for g in match.groups()))
        return None

    def whole(self, state: State) -> State:
        """Returns a state dict of the backbone alone, without its head, by the names
        that it has in this network's files; other state dicts as they are."""
        if self.backbone is None or any(key.startswith("backbone.") for key in state):
            return state
        head = f"{self.backbone.head}."
        return {f"backbone.{k}": v for k, v in state.items() if not k.startswith(head)}


def behind(prefix: str, rules: Rules) -> Rules:
    """Returns the rules of a network that is the part `prefix` of another one."""

    def longer(name: str | Callable[..., str]) -> Callable[..., str]:
        return lambda *groups: (
            prefix + (name if isinstance(name, str) else name(*groups))
        )

    return [(pattern, longer(name)) for pattern, name in rules]


def dots(path: str) -> str:
    """Returns a path of modules as PyTorch writes it."""
    return path.replace("/", ".")
