"""The label kind "picture": the label of an image is another picture, its target."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.labels.kind import LabelKind, Move, Shape


class Picture(LabelKind):
    """Labels uint8 [n, factor * height, factor * width, channels].

    A target is `factor` times as large as its image and shows the same content. So the
    colors of an image may not be changed alone.
    """

    name = "picture"
    described = "a picture as its target"
    dtype = np.dtype(np.uint8)
    expected = "[n, factor * height, factor * width, channels] of the images"
    recolorable = False

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        if len(label_shape) != 3 or label_shape[-1] != image_shape[-1]:
            return False
        factor = max(label_shape[0] // image_shape[0], 1)
        return label_shape[:2] == tuple(side * factor for side in image_shape[:2])

    def moved(self, label: Any, moves: Sequence[Move], size: tuple[int, int]) -> Any:
        factor = len(label) // size[0]
        for move in moves:
            label = move.picture(label, factor=factor)
        return label

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        del classes
        return rng.integers(0, 256, shape, np.uint8)


PICTURE = Picture()
