"""The label kind of bounding boxes around the objects of an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.labels.kind import LabelKind, Move, Shape

LEAST = 2.0  # pixels; a box that is cut off to a shorter side has left the image


class Boxes(LabelKind):
    """Labels float32 [n, most, 5]: rows (class, top, left, bottom, right) in pixels.

    `most` is the largest number of boxes in an image. Images with fewer boxes have
    padding rows with the class -1; see `padded`. An augmentation moves the four corners
    of a box. The new box is the smallest box around the moved corners, cut off at the
    edges of the image.
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
        """Returns the boxes of an image after the movements of its pixels.

        The edges of the image cut off boxes. If a side of a cut box is shorter than
        `LEAST` pixels, the class of the box becomes -1, as in a padding row.
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
    """Returns boxes as float32 [most, 5]. Padding rows are (-1, 0, 0, 0, 0).

    Args:
      rows: the boxes [n, 5], with the columns class, top, left, bottom, right.
      most: the number of rows of the result, at least n.
    """
    label = np.zeros((most, 5), np.float32)
    label[:, 0] = -1
    label[: len(rows)] = rows
    return label


def _corners(boxes: Any) -> Any:
    """Returns the four corners (row, column) of each box in [n, 4], as [4 n, 2]."""
    return boxes[:, [0, 1, 0, 3, 2, 1, 2, 3]].reshape(-1, 2)


def _around(corners: Any) -> Any:
    """Returns the smallest box [n, 4] around each group of four corners in [4 n, 2]."""
    import jax.numpy as jnp

    corners = corners.reshape(-1, 4, 2)
    return jnp.concatenate([corners.min(1), corners.max(1)], axis=-1)
