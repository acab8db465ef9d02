"""What torchvision calls the layers of the networks that it has too.

A family's table translates paths of modules here, such as "stage1_block1/conv1", into
torchvision's, such as "layer1.0.conv1". Each rule is a regular expression for the
whole path, and what it becomes: a string, or a function of the expression's groups,
numbers as integers. Indices of layers in torchvision's sequences (`features.10`)
count layers without parameters too, so they follow from the network's attributes.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.models import mobilenet, pixel_heads

Rules = Sequence[tuple[str, str | Callable[..., str]]]

# The variables of a layer.
LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}


@dataclass(frozen=True)
class Family:
    """Networks with the same names.

    Attributes:
      rules: from a network to the rules for its layers.
      head: torchvision's name of the layer `head`.
      auxiliary: torchvision's names of the auxiliary heads, by those here. A network
        that has any can be made with `auxiliary=False`.
      backbone: the family of the networks that these have inside, without their heads,
        under names that begin with "backbone."; None where there is no such.
    """

    rules: Callable[[Any], Rules]
    head: str
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    backbone: "Family | None" = None

    def translate(self, model: Any, path: str) -> str | None:
        """torchvision's name of a module of `model`; None where it has no such."""
        for pattern, name in (("head", self.head), *self.rules(model)):
            if match := re.fullmatch(pattern, path):
                if isinstance(name, str):
                    return name
                return name(*(int(g) if g.isdigit() else g for g in match.groups()))
        return None

    def whole(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """One of the backbone alone, but for its head, under its names here."""
        if self.backbone is None or any(key.startswith("backbone.") for key in state):
            return state
        head = f"{self.backbone.head}."
        return {f"backbone.{k}": v for k, v in state.items() if not k.startswith(head)}


def resnet(_: Any) -> Rules:
    block = r"stage(\d)_block(\d+)"
    return (
        ("stem/conv", "conv1"),
        ("stem/norm", "bn1"),
        (rf"{block}/conv(\d)", lambda s, b, i: f"layer{s}.{b - 1}.conv{i}"),
        (rf"{block}/norm(\d)", lambda s, b, i: f"layer{s}.{b - 1}.bn{i}"),
        (rf"{block}/shortcut_conv", lambda s, b: f"layer{s}.{b - 1}.downsample.0"),
        (rf"{block}/shortcut_norm", lambda s, b: f"layer{s}.{b - 1}.downsample.1"),
    )


def behind(prefix: str, rules: Rules) -> Rules:
    """The rules of a network that is the part `prefix` of another one."""

    def longer(name: str | Callable[..., str]) -> Callable[..., str]:
        return lambda *groups: (
            prefix + (name if isinstance(name, str) else name(*groups))
        )

    return [(pattern, longer(name)) for pattern, name in rules]


def fcn(model: Any) -> Rules:
    index = {"conv": 0, "norm": 1}
    unit = "head_conv1/(conv|norm)"
    return (
        *behind("backbone.", resnet(model)),
        (unit, lambda v: f"classifier.{index[v]}"),
        (f"aux/{unit}", lambda v: f"aux_classifier.{index[v]}"),
        ("aux/head", "aux_classifier.4"),
    )


def deeplab(model: Any) -> Rules:
    index = {"conv": 0, "norm": 1}
    rates = model.aspp_rates or pixel_heads.RATES

    def branch(name: str, v: str) -> str:
        if name == "project":
            return f"classifier.0.project.{index[v]}"
        if name == "pooled":  # behind the pooling
            return f"classifier.0.convs.{len(rates) + 1}.{index[v] + 1}"
        number = 0 if name == "pointwise" else int(name.removeprefix("dilated"))
        return f"classifier.0.convs.{number}.{index[v]}"

    return (
        (r"aspp/(\w+)/(conv|norm)", branch),
        ("head_conv1/(conv|norm)", lambda v: f"classifier.{index[v] + 1}"),
        *fcn(model),
    )


def alexnet(_: Any) -> Rules:
    # Behind convolutions 1, 2 and 5 there is a pooling beside the ReLU.
    index = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}
    return (
        (r"conv(\d)", lambda i: f"features.{index[i]}"),
        ("fc1", "classifier.1"),
        ("fc2", "classifier.4"),
    )


def vgg(model: Any) -> Rules:
    each = 3 if model.batch_norm else 2  # convolution, normalization, ReLU

    def index(stage: int, layer: int) -> int:
        return each * (sum(model.stage_sizes[: stage - 1]) + layer - 1) + stage - 1

    return (
        (r"conv(\d+)_(\d+)", lambda s, i: f"features.{index(s, i)}"),
        (r"norm(\d+)_(\d+)", lambda s, i: f"features.{index(s, i) + 1}"),
        ("fc1", "classifier.0"),
        ("fc2", "classifier.3"),
    )


def squeezenet(model: Any) -> Rules:
    def index(layer: int) -> int:  # of a fire module, behind convolution and ReLU
        return layer + sum(pool < layer for pool in set(model.pool_after))

    return (
        ("conv1", "features.0"),
        (r"fire(\d)/(\w+)", lambda i, conv: f"features.{index(i)}.{conv}"),
    )


def mobilenet_v2(_: Any) -> Rules:
    blocks = [(ratio, size) for ratio, _, size, _ in mobilenet.STAGES]
    last = 1 + sum(size for _, size in blocks)

    def inside(stage: int, block: int, layer: str, kind: str) -> str:
        start = f"features.{sum(size for _, size in blocks[: stage - 1]) + block}.conv"
        units = ["expand", "depthwise"][blocks[stage - 1][0] == 1 :]
        if layer in units:
            return f"{start}.{units.index(layer)}.{int(kind == 'norm')}"
        return f"{start}.{len(units) + (kind == 'norm')}"

    return (
        ("first_conv", "features.0.0"),
        ("first_norm", "features.0.1"),
        (r"stage(\d)_block(\d)/(expand|depthwise|project)_(conv|norm)", inside),
        ("last_conv", f"features.{last}.0"),
        ("last_norm", f"features.{last}.1"),
    )


def googlenet(_: Any) -> Rules:
    branches = {
        "branch1x1": "branch1",
        "branch3x3_reduce": "branch2.0",
        "branch3x3": "branch2.1",
        "branch5x5_reduce": "branch3.0",
        "branch5x5": "branch3.1",
        "branch_pool": "branch4.1",
    }
    leaf = {"conv": "conv", "norm": "bn"}
    return (
        (r"(conv\d|aux\d/conv)/(conv|norm)", lambda m, v: f"{dots(m)}.{leaf[v]}"),
        (
            r"(inception\d\w)/(branch\w+)/(conv|norm)",
            lambda block, branch, v: f"{block}.{branches[branch]}.{leaf[v]}",
        ),
        (r"(aux\d/fc\d)", dots),
    )


def inception_v3(_: Any) -> Rules:
    # Kernel sizes are a part of the names.
    convs = {
        "conv1a": "Conv2d_1a_3x3",
        "conv2a": "Conv2d_2a_3x3",
        "conv2b": "Conv2d_2b_3x3",
        "conv3b": "Conv2d_3b_1x1",
        "conv4a": "Conv2d_4a_3x3",
    }
    leaf = {"conv": "conv", "norm": "bn"}
    return (
        (r"(conv\d\w)/(conv|norm)", lambda m, v: f"{convs[m]}.{leaf[v]}"),
        (
            r"mixed(\d\w)/(branch\w+)/(conv|norm)",
            lambda block, branch, v: f"Mixed_{block}.{branch}.{leaf[v]}",
        ),
        (r"aux/(conv\d)/(conv|norm)", lambda m, v: f"AuxLogits.{m}.{leaf[v]}"),
        ("aux/fc", "AuxLogits.fc"),
    )


def densenet(_: Any) -> Rules:
    return (
        ("stem/conv", "features.conv0"),
        ("stem/norm", "features.norm0"),
        (
            r"denseblock(\d)_layer(\d+)/(\w+)",
            lambda b, i, layer: f"features.denseblock{b}.denselayer{i}.{layer}",
        ),
        (r"transition(\d)/(\w+)", lambda b, layer: f"features.transition{b}.{layer}"),
        ("norm", "features.norm5"),
    )


def video_resnet(model: Any) -> Rules:
    block = r"stage(\d)_block(\d+)"
    # A (2+1)D convolution is a sequence of its own, but for the stem's.
    part = {"spatial": 0, "norm": 1, "temporal": 3}
    parts = "(spatial|norm|temporal)"
    factorized = model.stage_convs[0] == "2+1d"
    return (
        ("stem/conv", "stem.0"),
        (f"stem/conv/{parts}", lambda p: f"stem.{part[p]}"),
        ("stem/norm", "stem.4" if factorized else "stem.1"),
        (rf"{block}/conv(\d)", lambda s, b, i: f"layer{s}.{b - 1}.conv{i}.0"),
        (
            rf"{block}/conv(\d)/{parts}",
            lambda s, b, i, p: f"layer{s}.{b - 1}.conv{i}.0.{part[p]}",
        ),
        (rf"{block}/norm(\d)", lambda s, b, i: f"layer{s}.{b - 1}.conv{i}.1"),
        (rf"{block}/shortcut_conv", lambda s, b: f"layer{s}.{b - 1}.downsample.0"),
        (rf"{block}/shortcut_norm", lambda s, b: f"layer{s}.{b - 1}.downsample.1"),
    )


def dots(path: str) -> str:
    return path.replace("/", ".")


RESNET = Family(resnet, "fc")
AUXILIARY = {"aux": "aux_classifier"}
VGG = Family(vgg, "classifier.6")
VIDEO = Family(video_resnet, "fc")
SQUEEZENET = Family(squeezenet, "classifier.1")

FAMILIES: dict[str, Family] = {
    "resnet18": RESNET,
    "resnet34": RESNET,
    "resnet50": RESNET,
    "resnet101": RESNET,
    "resnet152": RESNET,
    "wide_resnet50_2": RESNET,
    "resnext50_32x4d": RESNET,
    "fcn_resnet50": Family(fcn, "classifier.4", AUXILIARY, RESNET),
    "deeplabv3_resnet50": Family(deeplab, "classifier.4", AUXILIARY, RESNET),
    "alexnet_owt": Family(alexnet, "classifier.6"),
    "vgg11": VGG,
    "vgg13": VGG,
    "vgg16": VGG,
    "vgg19": VGG,
    "vgg11_bn": VGG,
    "vgg13_bn": VGG,
    "vgg16_bn": VGG,
    "vgg19_bn": VGG,
    "squeezenet1_0": SQUEEZENET,
    "squeezenet1_1": SQUEEZENET,
    "mobilenet_v2": Family(mobilenet_v2, "classifier.1"),
    "googlenet_bn": Family(googlenet, "fc", {"aux1": "aux1", "aux2": "aux2"}),
    "inception_v3": Family(inception_v3, "fc", {"aux": "AuxLogits"}),
    "densenet121": Family(densenet, "classifier"),
    "r3d_18": VIDEO,
    "mc3_18": VIDEO,
    "r2plus1d_18": VIDEO,
}


def family(name: str) -> Family:
    """The names of the network `name`.

    Raises:
      UserError: torchvision has no such network.
    """
    if name not in FAMILIES:
        raise UserError(
            f"torchvision has no counterpart of '{name}'. Of these it has: "
            f"{', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[name]


def rescales(name: str) -> bool:
    """Whether torchvision's pretrained network `name` rescales images to -1..1."""
    return name in ("googlenet_bn", "inception_v3")


# Blocks of each stage of a MobileNet v2, whose stages timm counts from 0.
MOBILENET_STAGES = (1, 2, 3, 4, 3, 3, 1)
# Layers of timm's blocks, in the first stage and in the others.
TIMM_BLOCKS = {
    True: {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"},
    False: {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1"}
    | {"conv_pwl": "2", "bn3": "3"},
}
TIMM = {
    "vgg": {
        "pre_logits.fc1": "classifier.0",
        "pre_logits.fc2": "classifier.3",
        "head.fc": "classifier.6",
    },
    "mobilenet": {
        "conv_stem": "features.0.0",
        "bn1": "features.0.1",
        "conv_head": "features.18.0",
        "bn2": "features.18.1",
        "classifier": "classifier.1",
    },
}


def translated(keys: Collection[str]) -> dict[str, str]:
    """The names that torchvision has now for those of a state dict.

    Others are those of its own old DenseNet files, and of timm's VGG and MobileNet v2;
    timm's residual networks, DenseNets and Inception v3 have torchvision's.
    """
    table: Mapping[str, str] = {}
    if any(key.startswith("pre_logits.") for key in keys):
        table = TIMM["vgg"]
    elif any(key.startswith("conv_stem.") for key in keys):
        table = TIMM["mobilenet"]

    def name_of(key: str) -> str:
        module, _, leaf = key.rpartition(".")
        if table and (match := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)", module)):
            stage, block, layer = int(match[1]), int(match[2]), match[3]
            number = 1 + sum(MOBILENET_STAGES[:stage]) + block
            module = (
                f"features.{number}.conv.{TIMM_BLOCKS[stage == 0].get(layer, layer)}"
            )
        key = f"{table.get(module, module)}.{leaf}" if module else leaf
        return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)", r"\1\2", key)

    return {key: name_of(key) for key in keys}
