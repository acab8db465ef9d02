"""Checks of a split that is held in memory as arrays."""

from typing import Any

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.kind import LabelKind
from cnn_jax.data.splits import Arrays

IMAGES = (
    "uint8 or float32 [n, height, width, channels], or [n, frames, height, width, "
    "channels]"
)


def check(where: str, split: Arrays, kind: LabelKind) -> None:
    """Raises `UserError` if a type or shape of a split's arrays is not valid.

    Args:
      where: the split's name in errors.
      split: the images and the labels.
      kind: the kind of the labels, which states their type and shape.
    """
    images, labels = split.images, split.labels
    known = _is(images, np.uint8) or _is(images, np.float32)
    if not (known and images.ndim in (4, 5)):
        raise UserError(f"{where}: images are {_shown(images)}; they must be {IMAGES}.")
    fits = _is(labels, kind.dtype) and len(labels) == len(images)
    if not fits or not kind.fits(split.label_shape, split.image_shape):
        raise UserError(
            f"{where}: labels are {_shown(labels)}; they must be {kind.dtype} "
            f"{kind.expected} ({kind.described}; n = {len(images)} images)."
        )


def _is(array: Any, dtype: Any) -> bool:
    return isinstance(array, np.ndarray) and array.ndim > 0 and array.dtype == dtype


def _shown(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype} {list(array.shape)}"
    return f"of type {type(array).__name__}"
