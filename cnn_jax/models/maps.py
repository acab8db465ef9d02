"""The maps inside a network for classification: the last one of each stride, or those
behind modules."""

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
    """The last map of each stride that a network makes on the way to its head.

    To be called where the network is bound: in a method of a module that holds it, or
    in a function under `nn.apply` or `nn.init`. The heads, auxiliary ones too, are not
    applied, and while initializing their parameters are not made.

    A map counts if one of the network's own layers (its direct submodules) takes or
    gives it, or its head takes it. So the last of a stride is the one behind the
    non-linearity, where that is no layer itself, and strides inside of a stem have
    none.

    Args:
      train: as for the network; its batch statistics are updated if it is.

    Returns:
      Maps by stride, the pixels of the images to one of the map, the largest map first.
      It is the one of the strides in the network's `plan` that is nearest to the ratio
      of the sizes, which is exact where layers pad. Of small images, layers that do not
      may leave so little that a stride is passed over.

    Raises:
      UserError: images smaller than the stride of the network's last map.
    """
    steps = (step.strides[-1] for step in backbone.plan())
    strides = list(itertools.accumulate(steps, operator.mul, initial=1))
    size = images.shape[1:-1]
    if min(size) < strides[-1]:
        raise UserError(
            f"images of {size[0]}x{size[1]} are too small for "
            f"{type(backbone).__name__}: one pixel of its last map is {strides[-1]} of "
            "theirs."
        )
    found: Maps = {}

    def record(x: Array) -> None:
        ratio = max(size) / max(x.shape[1:-1])
        found[min(strides, key=lambda stride: abs(math.log(ratio / stride)))] = x

    def intercept(method: Any, args: Any, options: Any, context: Any) -> Any:
        path, name = context.module.path, context.method_name
        if path == backbone.path and name == "classify":
            record(args[0])
            return args[0]  # which the network returns in place of logits
        if path == backbone.path and name == "auxiliary_logits":
            return None
        own_layer = path[:-1] == backbone.path and path and name == "__call__"
        if own_layer and found:  # the first layer takes the images
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
    """What modules of a network make on the way to its head, in evaluation.

    To be called as `by_stride`.

    Args:
      names: paths of modules in the network, such as `fire5` or `layer2_block1/conv1`.

    Returns:
      The maps, in the order of the names, as the module gives them: behind a
      convolution they are those before its non-linearity.

    Raises:
      UserError: there is no such module, or it makes no map.
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
    """A map of ceil(size / stride) pixels, of images of `size`.

    Where layers do not pad, maps lack some pixels of those that the images have room
    for; the middles of the others are where they would be.
    """
    full = tuple(math.ceil(n / stride) for n in size)
    return x if x.shape[1:3] == full else layers.resize_bilinear(x, size=full)
