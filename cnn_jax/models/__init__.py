"""Models by name: `create("resnet20", num_classes=10, dtype="bfloat16", width=8)`.

Every model is a linen module, called as `model.apply(variables, images, train)`
with images (batch, height, width, channels), and some with clips (batch, frames,
height, width, channels); it returns float32 logits (batch, num_classes), or with a head
of `pixel_heads` (batch, height, width, num_classes). With head="embedding" it returns a
dict: "embedding" (batch, embedding_features), and "cosine" (batch, num_classes) of its
angles to the classes; with head="cam" one of "logits" and "maps". The networks of
`enhancement` return images, and have no classes (`classifies`).

`create("my_project.nets.MyNet", ...)` makes a model of anybody's by its import path.

`create("fcos:resnet20", num_classes=10, strides=(2, 4), width=8)` is a detector on a
backbone, of the attributes of both; what it returns is in `fcos.FCOS`. `unet:NAME` is
the expanding path of a U-Net on one, and `johnson:NAME` learns a style that its maps
tell, as `style_transfer.Stylist` says.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.core import imports, ranges
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
    **plain.VARIANTS,
    **unet.VARIANTS,
    **enhancement.VARIANTS,
    **style_transfer.VARIANTS,
}

# Networks on the maps of another one, their backbone: "fcos:resnet18".
ON_BACKBONES: dict[str, ModelSpec] = {
    **fcos.ON_BACKBONES,
    **unet.ON_BACKBONES,
    **style_transfer.ON_BACKBONES,
}

# Fields that such a network and its backbone both have.
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
    """Returns the model of that name; see `spec_of`.

    Args:
      num_classes: None is the number of the published network, or of the backbone.
      dtype: of the computation, which may be a name of `DTYPES`; None is float32.
      attributes: values for keys of `attributes(name)`.

    Raises:
      UserError: unknown model, attribute or dtype, an impossible value, a missing one,
        or `num_classes` for a network without such a field.
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
            raise UserError(f"{name} needs a value of {key}.")
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
    # Without its head it has no classes: any number is theirs.
    network = _backbone(upper, backbone).make(
        **{"num_classes": 1} | shared | attributes
    )
    return spec.make(backbone=network, **own)


def _classes(name: str, spec: ModelSpec, num_classes: int | None) -> dict[str, int]:
    """The field `num_classes`, where the model has it and does not know it itself."""
    if not spec.classifies:
        if num_classes is None:
            return {}
        raise UserError(
            f"num_classes={num_classes}: {name} has no classes: leave it out."
        )
    if num_classes is None:
        num_classes = published(name).num_classes
    if num_classes is not None:
        return {"num_classes": num_classes}
    if spec.fields()["num_classes"] is MISSING:
        raise UserError(f"{name} needs a value of num_classes.")
    return {}


def spec_of(name: str) -> ModelSpec:
    """Returns the spec of a model; of "fcos:resnet18" the one of `fcos`.

    Args:
      name: of `MODELS`, one of `ON_BACKBONES` before the name of a backbone, such as
        "unet:resnet18", or an import path such as "my_project.nets.MyNet". The path
        leads to a linen module class with `__call__(self, x, train)`, to a
        `functools.partial` of one, or to a `ModelSpec`.

    Raises:
      UserError: there is no such model.
    """
    upper, _ = parts(name)
    if upper:
        return _found("network on a backbone", upper, ON_BACKBONES)
    return _found("model", name, MODELS)


def _found(kind: str, name: str, known: dict[str, ModelSpec]) -> ModelSpec:
    found = imports.find(kind, name, known)
    return found if isinstance(found, ModelSpec) else ModelSpec(found)


def _backbone(upper: str, name: str) -> ModelSpec:
    """The spec of a network that `upper` can be built on."""
    known = {name: spec for name, spec in MODELS.items() if _has_image_maps(spec)}
    found = _found(f"backbone of {upper}", name, known)
    if not _has_image_maps(found):
        raise UserError(
            f"{name} cannot be the backbone of {upper}: a backbone is a subclass of "
            "cnn_jax.models.classifier.Classifier that takes images."
        )
    return found


def _has_image_maps(spec: ModelSpec) -> bool:
    return issubclass(spec.module, Classifier) and not spec.module.takes_clips


def parts(name: str) -> tuple[str, str]:
    """("fcos", "resnet18") of "fcos:resnet18", and ("", "resnet18") of "resnet18"."""
    upper, _, backbone = name.rpartition(":")
    return upper, backbone


def published(name: str) -> Published:
    """Returns the published setting of a model. A model on a backbone
    ("unet:resnet18") has its backbone's."""
    return spec_of(parts(name)[1]).published


def published_shape(name: str) -> tuple[int, ...]:
    """Returns the published shape of one example, channels last.

    Raises:
      UserError: nobody published one.
    """
    shape = published(name).input_shape
    if shape is None:
        raise UserError(
            f"the shape of the inputs of {name} is not published: give "
            "--input_shape=HEIGHT,WIDTH,CHANNELS."
        )
    return shape


def attributes(name: str) -> dict[str, tuple[Any, Any]]:
    """Returns (type, default) of every attribute of `name` that a config may set.

    The values are plain: str, int, float, bool, None and tuples of them. The default is
    `dataclasses.MISSING` where the model has none. A model on a backbone has the
    attributes of its backbone too, without those of the backbone's head.

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
    """Whether the model `name` has classes, and makes no images."""
    return spec_of(name).classifies


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
