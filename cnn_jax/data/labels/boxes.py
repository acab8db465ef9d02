"""The label kind of bounding boxes around the objects of an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.labels.kind import LabelKind, Move, Shape

LEAST = 2.0  # pixels; a box that is cut off to a shorter side has left the image


class Boxes(LabelKind):
    """Labels float32 [n, most, 5]: rows (class, top, left, bottom, right) in pixels.

    Padding rows have the class -1; see `padded`. An augmentation moves the corners of a
    box. The new box is the smallest one around the moved corners, cut off at the
    image's edges.
    """

    name = "boxes"
    described = "boxes of objects"
    dtype = np.dtype(np.float32)
    expected = "[n, most, 5]"

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        del image_shape
        return len(label_shape) == 2 and label_shape[1] == 5

    def classes_in(self, labels: np.ndarray) -> np.ndarray:
        return labels[..., 0][labels[..., 0] >= 0]

    def moved(self, label: Any, moves: Sequence[Move], size: tuple[int, int]) -> Any:
        """Returns the boxes after the moves.

        A row loses its class if the image's edges cut a side of its box to less than
        `LEAST` pixels.
        """
        if not moves:
            return label
        import jax.numpy as jnp  # not at the top: reading data needs no JAX

        boxes, cut = label[:, 1:], jnp.zeros(len(label), bool)
        for move in moves:
            whole = _around(move.points(_corners(boxes)))
            boxes = jnp.clip(whole, 0, jnp.array([*size, *size], jnp.float32))
            cut |= (boxes != whole).any(-1)
        top, left, bottom, right = boxes.T
        seen = ~cut | (jnp.minimum(bottom - top, right - left) >= LEAST)
        kept = jnp.where(seen, label[:, 0], -1.0)
        return jnp.concatenate([kept[:, None], boxes], axis=-1)

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        corners = np.sort(rng.uniform(0, 32, (*shape[:-1], 2, 2)), axis=-2)
        labels = rng.integers(0, classes, (*shape[:-1], 1))
        boxes = corners.reshape(*shape[:-1], 4)
        return np.concatenate([labels, boxes], axis=-1).astype(np.float32)


BOXES = Boxes()


def padded(rows: np.ndarray, most: int) -> np.ndarray:
    """Returns rows [n, 5] as float32 [most, 5], padded with (-1, 0, 0, 0, 0)."""
    label = np.zeros((most, 5), np.float32)
    label[:, 0] = -1
    label[: len(rows)] = rows
    return label


def _corners(boxes: Any) -> Any:
    """Returns the corners [4 n, 2] of boxes [n, 4]."""
    return boxes[:, [0, 1, 0, 3, 2, 1, 2, 3]].reshape(-1, 2)


def _around(corners: Any) -> Any:
    """Returns the boxes [n, 4] around the corners [4 n, 2] of each box."""
    import jax.numpy as jnp

    corners = corners.reshape(-1, 4, 2)
    return jnp.concatenate([corners.min(1), corners.max(1)], axis=-1)
