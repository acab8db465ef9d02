"""Models by name: `create("resnet20", num_classes=10, dtype="bfloat16", width=8)`.

Every model is a linen module, called as `model.apply(variables, images, train)`
with images (batch, height, width, channels); it returns float32 logits (batch,
num_classes).
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
from cnn_jax.models import lenet, mlp, resnet

# A module class, or a partial of one whose values are the variant's defaults.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": lenet.LeNet5,
    "mlp": mlp.MLP,
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
}

DTYPES: dict[str, DTypeLike] = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
}


def create(
    name: str,
    *,
    num_classes: int,
    dtype: DTypeLike | None = None,
    **attributes: Any,
) -> nn.Module:
    """The model `name`; `attributes(name)` lists what else may be set.

    `dtype`, that of the computation, may be a name of `DTYPES`; None is float32.

    Raises:
      UserError: unknown model, attribute or dtype, or an impossible value.
    """
    known = _fields(name)
    for key in attributes:
        if key not in known:
            raise unknown(f"attribute of {name}", key, known)
    if num_classes < 1:
        raise UserError(f"num_classes={num_classes} must be at least 1.")
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        dtype = DTYPES[dtype]
    return MODELS[name](num_classes=num_classes, dtype=dtype, **attributes)


def features(
    model: nn.Module, variables: Any, images: Float[Array, "batch *space channels"]
) -> Float[Array, "batch *out channels"]:
    """The last map of a convolutional network, before its head, in evaluation.

    Its size is that of the images divided by the model's `output_stride`.
    """
    _, state = model.apply(variables, images, train=False, mutable=["intermediates"])
    (maps,) = state["intermediates"]["features"]
    return maps


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
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    model = MODELS[name]
    module, fixed = model, {}
    if isinstance(model, partial):
        module, fixed = model.func, model.keywords
    return {
        field.name: (field.type, fixed.get(field.name, field.default))
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name", "num_classes")
    }
