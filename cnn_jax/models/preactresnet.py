"""Residual networks with pre-activation (He et al. 2016, "Identity Mappings in Deep
Residual Networks").

Module names: those of `resnet`, and `norm` behind the last block.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.models.resnet import ResNet


class PreActResNet(ResNet, kw_only=True):
    """A residual network whose blocks normalize and activate before they convolve.

    What `ResNet` is, with the attributes of `ResNet`, but for the blocks and the
    normalization and ReLU after the last one. The stem ends with its activation,
    which the first block takes as it is, branch and shortcut both (the paper's
    appendix); so on ImageNet do the authors of the paper's ResNet-200
    (fb.resnet.torch), where other implementations put a second normalization behind
    the stem's pooling (128 more parameters) or the only one (as many parameters).
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
        return nn.relu(norm(name="norm")(x))


preactresnet18 = partial(PreActResNet, block="basic", stage_sizes=(2, 2, 2, 2))
preactresnet50 = partial(PreActResNet, block="bottleneck", stage_sizes=(3, 4, 6, 3))

# He et al. 2016, table 2: CIFAR-10.
cifar = partial(PreActResNet, width=16, stem="small", stage_sizes=(18, 18, 18))
preactresnet110 = partial(cifar, block="basic")
preactresnet164 = partial(cifar, block="bottleneck")
