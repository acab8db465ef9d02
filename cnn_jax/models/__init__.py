"""Models by name: `create("resnet20", num_classes=10, dtype="bfloat16", width=8)`.

Every model is a linen module, called as `model.apply(variables, images, train)`
with images (batch, height, width, channels), and some with clips (batch, frames,
height, width, channels); it returns float32 logits (batch, num_classes), or with a head
of `pixel_heads` (batch, height, width, num_classes). With head="embedding" it returns a
dict: "embedding" (batch, embedding_features), and "cosine" (batch, num_classes) of its
angles to the classes; with head="cam" one of "logits" and "maps". The networks of
`enhancement` return images, and have no classes (`classifies`).

`create("fcos:resnet20", num_classes=10, strides=(2, 4), width=8)` is a detector on a
backbone, of the attributes of both; what it returns is in `fcos.FCOS`. `unet:NAME` is
the expanding path of a U-Net on one, and `johnson:NAME` learns a style that its maps
tell, as `style_transfer.Stylist` says.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.models import (
    alexnet,
    densenet,
    drn,
    enhancement,
    fcos,
    flattenednet,
    googlenet,
    inception,
    lenet,
    mlp,
    mobilenet,
    nin,
    plain,
    preactresnet,
    published,
    resnet,
    squeezenet,
    style_transfer,
    unet,
    vgg,
    video,
)
from cnn_jax.models.classifier import OF_HEADS, Classifier
from cnn_jax.models.outputs import OUTPUTS as OUTPUTS
from cnn_jax.models.outputs import output_kind as output_kind

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
    "fcn_resnet50": resnet.fcn_resnet50,
    "deeplabv3_resnet50": resnet.deeplabv3_resnet50,
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
    "context_net": plain.context_net,
    "unet": unet.UNet,
    "srcnn": enhancement.SRCNN,
    "espcn": enhancement.ESPCN,
    "edsr": enhancement.EDSR,
    "dncnn": enhancement.DnCNN,
    "johnson": style_transfer.Johnson,
}

# What learns a style that the maps of a network tell: "adain:squeezenet1_0".
STYLISTS: dict[str, Callable[..., nn.Module]] = {
    "pixels": style_transfer.Pixels,
    "johnson": style_transfer.FeedForward,
    "adain": style_transfer.Adaptive,
}

# What is built on the maps of a network of `MODELS`, its backbone: "fcos:resnet18".
ON_BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "fcos": fcos.FCOS,
    "unet": unet.UNetOn,
    **STYLISTS,
}
# Attributes that no backbone has: of what comes behind the last map.
HEAD_ATTRIBUTES = ("head", *OF_HEADS, "dropout", "auxiliary", "auxiliary_dropout")
# Attributes of what is built on one that come from elsewhere in a config.
NOT_IN_CONFIGS = ("backbone", "mean", "std")

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
    """The model `name`, or one of `ON_BACKBONES`, such as "unet:NAME", on its maps;
    `attributes(name)` lists what else may be set.

    `num_classes` None is that of the published network, or of the backbone.
    `dtype`, that of the computation, may be a name of `DTYPES`; None is float32.

    Raises:
      UserError: unknown model, attribute or dtype, an impossible value, or
        `num_classes` for a network that makes images.
    """
    known = _fields(name)
    for key in attributes:
        if key not in known:
            raise unknown(f"attribute of {name}", key, known)
    upper, backbone = parts(name)
    given: dict[str, Any] = {}
    if classifies(name):
        if num_classes is None:
            num_classes = published.setting(name).num_classes
        given["num_classes"] = num_classes
    elif num_classes is not None:
        raise UserError(
            f"num_classes={num_classes}: {name} makes images, and has no classes."
        )
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        dtype = DTYPES[dtype]
    given["dtype"] = dtype
    if not upper:
        return MODELS[name](**given, **attributes)
    own = _own_fields(ON_BACKBONES[upper])
    theirs = {key: attributes.pop(key) for key in attributes.keys() - own.keys()}
    # Without its head it has no classes: any number is theirs.
    network = MODELS[backbone](**{"num_classes": 1} | given, **theirs)
    return ON_BACKBONES[upper](backbone=network, **given, **attributes)


def parts(name: str) -> tuple[str, str]:
    """("fcos", "resnet18") of "fcos:resnet18", and ("", "resnet18") of "resnet18"."""
    upper, _, backbone = name.rpartition(":")
    return upper, backbone


def classifies(name: str) -> bool:
    """Whether the model `name` has classes, and makes no images."""
    upper, _ = parts(name)
    module, _ = _module(ON_BACKBONES[upper] if upper else MODELS[name])
    return any(field.name == "num_classes" for field in dataclasses.fields(module))


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
    upper, backbone = parts(name)
    if not upper:
        if name not in MODELS:
            raise unknown("model", name, MODELS)
        return _own_fields(MODELS[name])
    if upper not in ON_BACKBONES:
        raise unknown("network on a backbone", upper, ON_BACKBONES)
    backbones = [name for name in MODELS if _has_image_maps(name)]
    if backbone not in backbones:
        raise unknown(f"backbone of {upper}", backbone, backbones)
    theirs = _own_fields(MODELS[backbone])
    theirs = {k: field for k, field in theirs.items() if k not in HEAD_ATTRIBUTES}
    own = _own_fields(ON_BACKBONES[upper])
    return theirs | {k: field for k, field in own.items() if k not in NOT_IN_CONFIGS}


def _own_fields(model: Callable[..., nn.Module]) -> dict[str, tuple[Any, Any]]:
    module, fixed = _module(model)
    return {
        field.name: (field.type, fixed.get(field.name, field.default))
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name", "num_classes")
    }


def _has_image_maps(name: str) -> bool:
    """Whether the network `name` can be a backbone."""
    module, _ = _module(MODELS[name])
    return issubclass(module, Classifier) and not module.takes_clips


def _module(model: Callable[..., nn.Module]) -> tuple[type[nn.Module], dict[str, Any]]:
    """The class of a network, and the values that its variant has of its own."""
    if isinstance(model, partial):
        return model.func, model.keywords
    return model, {}
