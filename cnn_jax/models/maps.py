"""Feature maps inside a network for classification: the last map of each stride, or the
outputs of named modules."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.models.classifier import Classifier

Images = Float[Array, "batch height width channels"]
Map = Float[Array, "batch _height _width _channels"]
Maps = dict[int, Map]


def by_stride(backbone: Classifier, images: Images, train: bool) -> Maps:
    """Returns the last feature map of each stride before a network's head.

    Call this function where the network is bound: in a method of a module that holds
    the network, or in a function under `nn.apply` or `nn.init`. Heads, including
    auxiliary heads, are not applied and get no parameters.

    A map counts if it is an input or output of one of the network's own layers (its
    direct submodules), or the input of its head. So the last map of a stride usually
    follows the non-linearity, even if the non-linearity is no layer. Maps inside of a
    stem do not count.

    Args:
      train: passed to the network; if true, its batch statistics are updated.

    Returns:
      Maps by stride (input pixels for one map pixel), the largest map first. A map gets
      the stride of the network's `plan` that is nearest to the size of the images
      divided by the size of the map. In networks whose layers are padded, both are
      equal. Layers without padding may shrink small images so much that a stride is
      skipped.

    Raises:
      UserError: the images are smaller than the stride of the network's last map.
    """
    steps = (step.strides[-1] for step in backbone.plan())
    strides = list(itertools.accumulate(steps, operator.mul, initial=1))
    size = images.shape[1:-1]
    if min(size) < strides[-1]:
        raise UserError(
            f"images of {size[0]}x{size[1]} are too small for "
            f"{type(backbone).__name__}, whose last feature map has stride "
            f"{strides[-1]}. Use images of at least {strides[-1]}x{strides[-1]}."
        )
    found: Maps = {}

    def record(x: Array) -> None:
        ratio = max(size) / max(x.shape[1:-1])
        found[min(strides, key=lambda stride: abs(math.log(ratio / stride)))] = x

    def intercept(method: Any, args: Any, options: Any, context: Any) -> Any:
        path, name = context.module.path, context.method_name
        if path == backbone.path and name == "classify":
            record(args[0])
            return args[0]  # the network returns the map in place of logits
        if path == backbone.path and name == "auxiliary_logits":
            return None
        own_layer = path[:-1] == backbone.path and path and name == "__call__"
        if own_layer and found:  # the input of the first layer is the image
            record(args[0])
        output = method(*args, **options)
        if own_layer:
            record(output)
        return output

    with nn.intercept_methods(intercept):
        backbone(images, train)
    return dict(sorted(found.items()))


def by_name(
    backbone: Classifier, images: Images, names: Sequence[str]
) -> dict[str, Map]:
    """Returns the outputs of a network's modules before its head, in evaluation mode.

    Call this function where the network is bound, as described at `by_stride`.

    Args:
      names: paths of modules in the network, such as `fire5` or `layer2_block1/conv1`.

    Returns:
      The outputs in the order of the names. The output of a convolution is taken before
      its non-linearity.

    Raises:
      UserError: a module does not exist or does not return a feature map.
    """
    found: dict[str, Map] = {}

    def intercept(method: Any, args: Any, options: Any, context: Any) -> Any:
        path, name = context.module.path, context.method_name
        if path == backbone.path and name == "classify":
            return args[0]
        if path == backbone.path and name == "auxiliary_logits":
            return None
        output = method(*args, **options)
        inside = path[: len(backbone.path)] == backbone.path
        if inside and name == "__call__" and getattr(output, "ndim", 0) == 4:
            found["/".join(path[len(backbone.path) :])] = output
        return output

    with nn.intercept_methods(intercept):
        backbone(images, False)
    found.pop("", None)
    for name in names:
        if name not in found:
            raise unknown(f"module of {type(backbone).__name__}", name, found)
    return {name: found[name] for name in names}


def whole(
    x: Float[Array, "batch _height _width channels"], size: tuple[int, ...], stride: int
) -> Float[Array, "batch _rows _columns channels"]:
    """Returns the map resized to ceil(size / stride) pixels, for images of `size`.

    Without padding, layers return fewer pixels than images of `size` have room for. The
    resized map covers the image completely.
    """
    full = tuple(math.ceil(n / stride) for n in size)
    return x if x.shape[1:3] == full else layers.resize_bilinear(x, size=full)
