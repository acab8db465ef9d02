"""The label kind of images with one class for each pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.labels.kind import LabelKind, LabelStatistics, Move, Shape

IGNORED = 255  # the label of a pixel without a class, or outside of the image


class Pixels(LabelKind):
    """Labels uint8 [n, height, width]: the class of each pixel.

    The label of a pixel without a class is `IGNORED`. Pixels that an augmentation moves
    into the image from outside get the label `IGNORED` too.
    """

    name = "pixels"
    described = "one label per pixel"
    dtype = np.dtype(np.uint8)
    expected = "[n, height, width] of the images"

    def shape(self, image_shape: Shape) -> Shape:
        return image_shape[:-1]

    def classes_in(self, labels: np.ndarray) -> np.ndarray:
        return labels[labels != IGNORED]

    def statistics(self, labels: np.ndarray, classes: int) -> LabelStatistics:
        """Returns the number of pixels of each class."""
        counts = np.zeros(classes, np.int64)
        for label in labels:  # `np.bincount` needs eight bytes for each pixel
            counts += np.bincount(self.classes_in(label), minlength=classes)
        return LabelStatistics(counts=tuple(counts.tolist()))

    def moved(self, label: Any, moves: Sequence[Move], size: tuple[int, int]) -> Any:
        del size
        label = label[..., None]
        for move in moves:
            label = move.picture(label, outside=IGNORED, nearest=True)
        return label[..., 0]

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        return rng.integers(0, classes, shape, np.uint8)


PIXELS = Pixels()
