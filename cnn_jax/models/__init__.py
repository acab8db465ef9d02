"""Models by name: `create("resnet20", num_classes=10, dtype="bfloat16", width=8)`.

Every model is a linen module, called as `model.apply(variables, images, train)` with
images (batch, height, width, channels). Some models also take clips (batch, frames,
height, width, channels). The output depends on the head:

* most heads: float32 logits (batch, num_classes);
* heads of `pixel_heads`: logits (batch, height, width, num_classes);
* "embedding": a dict of "embedding" (batch, embedding_features) and "cosine" (batch,
  num_classes), the cosine of the angle between the embedding and each class vector;
* "cam": a dict of "logits" and class activation "maps".

The networks of `enhancement` return images and have no classes (`classifies`).

`create("my_project.nets.MyNet", ...)` makes a user's model by its import path.

`create("fcos:resnet20", num_classes=10, strides=(2, 4), width=8)` makes a detector on a
backbone, with the attributes of the detector and of the backbone; `fcos.FCOS` describes
its outputs. `unet:NAME` is the expanding path of a U-Net on a backbone. `johnson:NAME`
learns a style with losses on the feature maps of a backbone (`style_transfer.Stylist`).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.core import imports, ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.models import (
    airbench,
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
    resnet,
    segmentation,
    squeezenet,
    style_transfer,
    unet,
    vgg,
    video,
)
from cnn_jax.models.classifier import NOT_OF_BACKBONES, Classifier
from cnn_jax.models.outputs import OUTPUTS as OUTPUTS
from cnn_jax.models.outputs import output_kind as output_kind
from cnn_jax.models.spec import MISSING, ModelSpec, Published

# All networks, family by family.
MODELS: dict[str, ModelSpec] = {
    **lenet.VARIANTS,
    **mlp.VARIANTS,
    **alexnet.VARIANTS,
    **vgg.VARIANTS,
    **squeezenet.VARIANTS,
    **nin.VARIANTS,
    **mobilenet.VARIANTS,
    **flattenednet.VARIANTS,
    **googlenet.VARIANTS,
    **inception.VARIANTS,
    **densenet.VARIANTS,
    **resnet.VARIANTS,
    **segmentation.VARIANTS,
    **preactresnet.VARIANTS,
    **drn.VARIANTS,
    **video.VARIANTS,
    **airbench.VARIANTS,
    **plain.VARIANTS,
    **unet.VARIANTS,
    **enhancement.VARIANTS,
    **style_transfer.VARIANTS,
}

# Networks on the feature maps of another network, their backbone: "fcos:resnet18".
ON_BACKBONES: dict[str, ModelSpec] = {
    **fcos.ON_BACKBONES,
    **unet.ON_BACKBONES,
    **style_transfer.ON_BACKBONES,
}

# Fields that a network on a backbone has in common with its backbone.
SHARED = {"num_classes", "dtype"}

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
    """Returns the model with this name; see `spec_of`.

    Args:
      num_classes: the number of classes; None is the number of the published network
        or, for a model on a backbone, of the published backbone.
      dtype: dtype of the computation, or its name in `DTYPES`; None is float32.
      attributes: values for keys of `attributes(name)`.

    Raises:
      UserError: the model, an attribute or the dtype is unknown; a value is invalid or
        missing; or `num_classes` is given for a network without classes.
    """
    known, spec = _attributes(name), spec_of(name)
    if dtype is not None:
        attributes["dtype"] = dtype
    for key, value in attributes.items():
        if key not in known:
            raise unknown(f"attribute of {name}", key, known)
        ranges.check(key, value, known[key][0])
    for key, (_, default) in known.items():
        if default is MISSING and key not in attributes:
            raise UserError(f"{name} needs a value for {key}.")
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        attributes["dtype"] = DTYPES[dtype]
    attributes |= _classes(name, spec, num_classes)
    upper, backbone = parts(name)
    if not upper:
        return spec.make(**attributes)
    shared = {key: attributes[key] for key in SHARED & attributes.keys()}
    own = {key: attributes.pop(key) for key in spec.fields().keys() & attributes.keys()}
    # The backbone's head is not used, so any number of classes will do.
    network = _backbone(upper, backbone).make(
        **{"num_classes": 1} | shared | attributes
    )
    return spec.make(backbone=network, **own)


def _classes(name: str, spec: ModelSpec, num_classes: int | None) -> dict[str, int]:
    """Returns {"num_classes": NUMBER} for the constructor of a model.

    The result is {} if the model has no classes, or if the field's default holds.

    Args:
      num_classes: the user's number; None is the published number.

    Raises:
      UserError: the model has no classes but a number is given, or the model needs a
        number and none is known.
    """
    if not spec.classifies:
        if num_classes is None:
            return {}
        raise UserError(
            f"num_classes={num_classes} is not possible, because {name} has no classes:"
            " leave num_classes out."
        )
    if num_classes is None:
        num_classes = published(name).num_classes
    if num_classes is not None:
        return {"num_classes": num_classes}
    if spec.fields()["num_classes"] is MISSING:
        raise UserError(f"{name} needs a value for num_classes.")
    return {}


def spec_of(name: str) -> ModelSpec:
    """Returns the spec of a model; for "fcos:resnet18" the spec of `fcos`.

    Args:
      name: a name of `MODELS`, a name of `ON_BACKBONES` before the name of a backbone,
        such as "unet:resnet18", or an import path such as "my_project.nets.MyNet". The
        path leads to a linen module class with `__call__(self, x, train)`, to a
        `functools.partial` of such a class, or to a `ModelSpec`.

    Raises:
      UserError: no such model exists.
    """
    upper, _ = parts(name)
    if upper:
        return _found("network on a backbone", upper, ON_BACKBONES)
    return _found("model", name, MODELS)


def _found(kind: str, name: str, known: dict[str, ModelSpec]) -> ModelSpec:
    """Returns the spec of a known model, or of a module at an import path.

    Args:
      kind: the kind of the model in errors, such as "model".
      name: a name of `known`, or an import path.
    """
    found = imports.find(kind, name, known)
    return found if isinstance(found, ModelSpec) else ModelSpec(found)


def _backbone(upper: str, name: str) -> ModelSpec:
    """Returns the spec of a backbone.

    Args:
      upper: the name of the model on the backbone, such as "fcos".
      name: the name of the backbone, such as "resnet18".

    Raises:
      UserError: no such network exists, or it cannot be a backbone.
    """
    known = {name: spec for name, spec in MODELS.items() if _has_image_maps(spec)}
    found = _found(f"backbone of {upper}", name, known)
    if not _has_image_maps(found):
        raise UserError(
            f"{name} cannot be the backbone of {upper}: a backbone is a subclass of "
            "cnn_jax.models.classifier.Classifier that takes images."
        )
    return found


def _has_image_maps(spec: ModelSpec) -> bool:
    """Returns whether the model makes feature maps of images, not of clips."""
    return issubclass(spec.module, Classifier) and not spec.module.takes_clips


def parts(name: str) -> tuple[str, str]:
    """Splits the name of a model into the names of the upper model and the backbone.

    "fcos:resnet18" gives ("fcos", "resnet18"); "resnet18" gives ("", "resnet18").
    """
    upper, _, backbone = name.rpartition(":")
    return upper, backbone


def published(name: str) -> Published:
    """Returns the published setting of a model.

    For a model on a backbone, such as "unet:resnet18", it is the backbone's setting.
    """
    return spec_of(parts(name)[1]).published


def published_shape(name: str) -> tuple[int, ...]:
    """Returns the published shape of one example, channels last.

    Raises:
      UserError: the shape is not published.
    """
    shape = published(name).input_shape
    if shape is None:
        raise UserError(
            f"{name} has no published input shape: set "
            "--input_shape=HEIGHT,WIDTH,CHANNELS."
        )
    return shape


def attributes(name: str) -> dict[str, tuple[Any, Any]]:
    """Returns (type, default) of every attribute of `name` that a config may set.

    The values are plain: str, int, float, bool, None and tuples of these. The default
    is `dataclasses.MISSING` for an attribute without a default. A model on a backbone
    also has the attributes of its backbone, except for the attributes of the backbone's
    head.

    Raises:
      UserError: unknown model.
    """
    own = spec_of(name).keys()
    upper, backbone = parts(name)
    if not upper:
        return own
    theirs = _backbone(upper, backbone).keys()
    return {k: pair for k, pair in theirs.items() if k not in NOT_OF_BACKBONES} | own


_attributes = attributes  # for functions with an argument of that name


def classifies(name: str) -> bool:
    """Returns whether the model `name` has classes; others return images."""
    return spec_of(name).classifies


def features(
    model: nn.Module, variables: Any, images: Float[Array, "batch *space channels"]
) -> Float[Array, "batch *out features"]:
    """Returns the last feature map of a convolutional network in evaluation mode.

    The size of the map is the size of the images divided by the model's
    `output_stride`.
    """
    _, state = model.apply(variables, images, train=False, mutable=["intermediates"])
    (maps,) = state["intermediates"]["features"]
    return maps


def has_map(model: nn.Module) -> bool:
    """Returns whether `features` finds a feature map in the model."""
    return isinstance(model, Classifier)
