"""FCN (Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation") and
DeepLabv3 (Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image
Segmentation") on a ResNet-50, as in torchvision.

Feature maps have an eighth of the input's size, and there is an auxiliary head.
`resnet` names the modules, and `pixel_heads` describes the heads.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from cnn_jax.models import pixel_heads, resnet
from cnn_jax.models.other_names import OtherNames, Rules, behind
from cnn_jax.models.spec import ModelSpec, torchvision


def _fcn_names(model: resnet.ResNet) -> Rules:
    """Returns the rules that translate FCN's module paths into torchvision's names."""
    index = {"conv": 0, "norm": 1}
    unit = "head_conv1/(conv|norm)"
    return (
        *behind("backbone.", resnet.NAMES.rules(model)),
        (unit, lambda v: f"classifier.{index[v]}"),
        (f"aux/{unit}", lambda v: f"aux_classifier.{index[v]}"),
        ("aux/head", "aux_classifier.4"),
    )


def _deeplab_names(model: resnet.ResNet) -> Rules:
    """Returns the rules that translate module paths into torchvision's names."""
    index = {"conv": 0, "norm": 1}
    rates = model.aspp_rates or pixel_heads.RATES

    def branch(name: str, v: str) -> str:
        if name == "project":
            return f"classifier.0.project.{index[v]}"
        if name == "pooled":  # the layers after the pooling
            return f"classifier.0.convs.{len(rates) + 1}.{index[v] + 1}"
        number = 0 if name == "pointwise" else int(name.removeprefix("dilated"))
        return f"classifier.0.convs.{number}.{index[v]}"

    return (
        (r"aspp/(\w+)/(conv|norm)", branch),
        ("head_conv1/(conv|norm)", lambda v: f"classifier.{index[v] + 1}"),
        *_fcn_names(model),
    )


def _resnet50(
    head: str, names: Callable[[Any], Rules], parameters: int, macs: int, **values: Any
) -> ModelSpec:
    """Returns the spec of a segmentation network on a ResNet-50.

    torchvision's multiply-accumulates include the auxiliary head on 65x65 pixels,
    because torchvision computes this head in evaluation too.
    """
    in_head = 65 * 65 * 256 * (9 * 1024 + 21)
    published = torchvision(
        parameters,
        macs,
        (520, 520, 3),
        21,
        auxiliary=True,
        note=f" (with {in_head / 10**6:,.0f} M of the auxiliary head)",
    )
    make = partial(
        resnet.ResNet,
        block="bottleneck",
        stage_sizes=(3, 4, 6, 3),
        output_stride=8,
        auxiliary=True,
        head=head,
        **values,
    )
    width = (4,) * len(pixel_heads.WIDTHS[head] or (1,))
    return ModelSpec(
        make,
        dataclasses.replace(published, auxiliary_macs=in_head),
        OtherNames(names, "classifier.4", {"aux": "aux_classifier"}, resnet.NAMES),
        tiny=resnet.TINY | {"output_stride": 2, "head_width": width},
    )


VARIANTS = {
    "fcn_resnet50": _resnet50(
        "fcn", _fcn_names, 35_322_218, 152_717, head_width=(512,), dropout=0.1
    ),
    "deeplabv3_resnet50": _resnet50(
        "deeplab", _deeplab_names, 42_004_074, 178_722, dropout=0.5
    ),
}
