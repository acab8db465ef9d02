"""Models by name: `create("resnet20", num_classes=10, dtype="bfloat16", width=8)`.

Every model is a linen module, called as `model.apply(variables, images, train)`
with images (batch, height, width, channels), and some with clips (batch, frames,
height, width, channels); it returns float32 logits (batch, num_classes), or with
head="fcn" (batch, height, width, num_classes). The networks of `enhancement` return
images, and have no classes (`classifies`).
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.errors import UserError, unknown
from cnn_jax.models import (
    alexnet,
    densenet,
    drn,
    enhancement,
    flattenednet,
    googlenet,
    inception,
    lenet,
    mlp,
    mobilenet,
    nin,
    plain,
    preactresnet,
    resnet,
    squeezenet,
    vgg,
    video,
)
from cnn_jax.models.classifier import Classifier
from cnn_jax.models.published import PUBLISHED

# A module class, or a partial of one whose values are the variant's defaults.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": lenet.LeNet5,
    "mlp": mlp.MLP,
    "alexnet": alexnet.alexnet,
    "alexnet_grouped": alexnet.alexnet_grouped,
    "alexnet_owt": alexnet.alexnet_owt,
    "vgg11": vgg.vgg11,
    "vgg13": vgg.vgg13,
    "vgg16": vgg.vgg16,
    "vgg19": vgg.vgg19,
    "vgg11_bn": vgg.vgg11_bn,
    "vgg13_bn": vgg.vgg13_bn,
    "vgg16_bn": vgg.vgg16_bn,
    "vgg19_bn": vgg.vgg19_bn,
    "squeezenet1_0": squeezenet.squeezenet1_0,
    "squeezenet1_1": squeezenet.squeezenet1_1,
    "nin": nin.NIN,
    "mobilenet_v2": mobilenet.mobilenet_v2,
    "flattenednet": flattenednet.FlattenedNet,
    "googlenet": googlenet.googlenet,
    "googlenet_bn": googlenet.googlenet_bn,
    "inception_v3": inception.inception_v3,
    "densenet121": densenet.densenet121,
    "resnet20": resnet.resnet20,
    "resnet32": resnet.resnet32,
    "resnet44": resnet.resnet44,
    "resnet56": resnet.resnet56,
    "resnet110": resnet.resnet110,
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "resnet101": resnet.resnet101,
    "resnet152": resnet.resnet152,
    "wide_resnet50_2": resnet.wide_resnet50_2,
    "resnext50_32x4d": resnet.resnext50_32x4d,
    "preactresnet": preactresnet.preactresnet18,
    "preactresnet50": preactresnet.preactresnet50,
    "preactresnet110": preactresnet.preactresnet110,
    "preactresnet164": preactresnet.preactresnet164,
    "drn_c_26": drn.drn_c_26,
    "r2d_18": video.r2d_18,
    "r3d_18": video.r3d_18,
    "mc3_18": video.mc3_18,
    "r2plus1d_18": video.r2plus1d_18,
    "c3d": video.C3D,
    "plain": plain.PlainNet,
    "srcnn": enhancement.SRCNN,
    "espcn": enhancement.ESPCN,
    "edsr": enhancement.EDSR,
    "dncnn": enhancement.DnCNN,
}

DTYPES: dict[str, DTypeLike] = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
}


def create(
    name: str,
    *,
    num_classes: int | None = None,
    dtype: DTypeLike | None = None,
    **attributes: Any,
) -> nn.Module:
    """The model `name`; `attributes(name)` lists what else may be set.

    `num_classes` None is that of the published network. `dtype`, that of the
    computation, may be a name of `DTYPES`; None is float32.

    Raises:
      UserError: unknown model, attribute or dtype, an impossible value, or
        `num_classes` for a network that makes images.
    """
    known = _fields(name)
    for key in attributes:
        if key not in known:
            raise unknown(f"attribute of {name}", key, known)
    if classifies(name):
        if num_classes is None:
            num_classes = PUBLISHED[name].num_classes
        if num_classes < 1:
            raise UserError(f"num_classes={num_classes} must be at least 1.")
        attributes["num_classes"] = num_classes
    elif num_classes is not None:
        raise UserError(
            f"num_classes={num_classes}: {name} makes images, and has no classes."
        )
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        dtype = DTYPES[dtype]
    return MODELS[name](dtype=dtype, **attributes)


def classifies(name: str) -> bool:
    """Whether the model `name` has classes, and makes logits, not images.

    Raises:
      UserError: unknown model.
    """
    return any(field.name == "num_classes" for field in _module_fields(name))


def features(
    model: nn.Module, variables: Any, images: Float[Array, "batch *space channels"]
) -> Float[Array, "batch *out features"]:
    """The last map of a convolutional network, before its head, in evaluation.

    Its size is that of the images divided by the model's `output_stride`.
    """
    _, state = model.apply(variables, images, train=False, mutable=["intermediates"])
    (maps,) = state["intermediates"]["features"]
    return maps


def has_map(model: nn.Module) -> bool:
    """Whether `features` finds a map in the model."""
    return isinstance(model, Classifier)


def per_pixel(model: nn.Module) -> bool:
    """Whether the model's logits are of every pixel, not of the whole image."""
    return getattr(model, "head", None) == "fcn"


def attributes(name: str) -> dict[str, tuple[Any, Any]]:
    """(type, default) of every attribute of `name` that a config may set.

    The values are plain: str, int, float, bool, None and tuples of them.

    Raises:
      UserError: unknown model.
    """
    fields = _fields(name)
    fields["dtype"] = (str | None, None)
    return fields


def _fields(name: str) -> dict[str, tuple[Any, Any]]:
    fixed = getattr(MODELS.get(name), "keywords", {})
    return {
        field.name: (field.type, fixed.get(field.name, field.default))
        for field in _module_fields(name)
        if field.name not in ("parent", "name", "num_classes")
    }


def _module_fields(name: str) -> tuple[dataclasses.Field, ...]:
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    model = MODELS[name]
    return dataclasses.fields(model.func if isinstance(model, partial) else model)
