"""Residual networks with pre-activation (He et al. 2016, "Identity Mappings in Deep
Residual Networks").

Module names: as in `resnet`, and `norm` after the last block.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.models.resnet import TINY, ResNet
from cnn_jax.models.spec import CIFAR, IMAGENET, ModelSpec, unpublished


class PreActResNet(ResNet, kw_only=True):
    """A residual network whose blocks normalize and activate before they convolve.

    It equals `ResNet`, with the same attributes, except for the blocks and the
    normalization and activation after the last block. The stem ends with its
    activation. The branch and the shortcut of the first block both take the stem's
    output without another normalization (the paper's appendix). On ImageNet this is the
    ResNet-200 of the paper's authors (fb.resnet.torch). Some implementations add a
    second normalization after the stem's pooling (128 more parameters). Others have
    only the normalization after the pooling (as many parameters as here).
    """

    blocks: ClassVar[dict[str, type[nn.Module]]] = {
        "basic": layers.PreActBasicBlock,
        "bottleneck": layers.PreActBottleneck,
    }

    def block_attributes(self, index: int, train: bool) -> dict[str, Any]:
        return {**super().block_attributes(index, train), "activated": index == 0}

    def last_activation(
        self, x: Float[Array, "batch height width features"], norm: Any
    ) -> Float[Array, "batch height width features"]:
        return self.activate(layers.normalized(norm, x, "norm"))


def _variant(block: str, sizes: tuple[int, ...], **values: Any) -> ModelSpec:
    """Returns the spec of a network for ImageNet or, if `stem` is given, for CIFAR-10.

    Args:
      block: "basic" or "bottleneck".
      sizes: blocks of each stage.
      values: further attributes of the network. The paper's networks for CIFAR-10 have
        `stem="small"` (table 2).
    """
    setting = (CIFAR, 10) if "stem" in values else (IMAGENET, 1000)
    make = partial(PreActResNet, block=block, stage_sizes=sizes, **values)
    published = unpublished(*setting, "He et al. 2016, Identity Mappings")
    return ModelSpec(make, published, tiny=TINY)


VARIANTS = {
    "preactresnet": _variant("basic", (2, 2, 2, 2)),
    "preactresnet50": _variant("bottleneck", (3, 4, 6, 3)),
    "preactresnet110": _variant("basic", (18, 18, 18), width=16, stem="small"),
    "preactresnet164": _variant("bottleneck", (18, 18, 18), width=16, stem="small"),
}
