"""Names of layers in the weight files of other libraries.

Each family of networks has rules that translate paths of modules, such as
"stage1_block1/conv1", into torchvision's names, such as "layer1.0.conv1". A rule is a
pair. Its first entry is a regular expression for the whole path. Its second entry is
the name in torchvision: a string, or a function of the expression's groups (groups of
digits become integers). Indices in torchvision's sequences (`features.10`) also count
layers without parameters, so the indices depend on the network's attributes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rules = Sequence[tuple[str, str | Callable[..., str]]]
State = Mapping[str, Any]


def _as_it_is(state: State) -> State:
    """Returns the state dict unchanged."""
    return state


@dataclass(frozen=True)
class OtherNames:
    """The names of a network's layers in files of torchvision and timm.

    Attributes:
      rules: a function from a network to the rules for its layers.
      head: torchvision's name of the layer `head`.
      auxiliary: torchvision's names of the auxiliary heads, by our names. A network
        with auxiliary heads can be made with `auxiliary=False`.
      backbone: the names of the backbone's layers, for a network that contains a
        backbone; None for other networks. In files, these names begin with "backbone.",
        and the backbone has no head.
      model: torchvision's name of the network; None is our name.
      renamed: a function from a state dict of timm, or of an old torchvision, to the
        same arrays with torchvision's current names and shapes.
    """

    rules: Callable[[Any], Rules]
    head: str
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    backbone: "OtherNames | None" = None
    model: str | None = None
    renamed: Callable[[State], State] = _as_it_is

    def translate(self, model: Any, path: str) -> str | None:
        """Returns torchvision's name of a module of `model`; None if it has no name."""
        for pattern, name in (("head", self.head), *self.rules(model)):
            if match := re.fullmatch(pattern, path):
                if isinstance(name, str):
                    return name
                return name(*(int(g) if g.isdigit() else g for g in match.groups()))
        return None

    def whole(self, state: State) -> State:
        """Adds the prefix "backbone." to a state dict of the backbone alone.

        The backbone's head is dropped. Other state dicts are returned unchanged.
        """
        if self.backbone is None or any(key.startswith("backbone.") for key in state):
            return state
        head = f"{self.backbone.head}."
        return {f"backbone.{k}": v for k, v in state.items() if not k.startswith(head)}


def behind(prefix: str, rules: Rules) -> Rules:
    """Returns rules whose torchvision names begin with `prefix`.

    They serve a network that is a part of another network, such as its backbone.

    Args:
      rules: the rules of the network alone.
    """

    def longer(name: str | Callable[..., str]) -> Callable[..., str]:
        return lambda *groups: (
            prefix + (name if isinstance(name, str) else name(*groups))
        )

    return [(pattern, longer(name)) for pattern, name in rules]


def dots(path: str) -> str:
    """Returns a path of modules in PyTorch's notation: "a.b" for "a/b"."""
    return path.replace("/", ".")
