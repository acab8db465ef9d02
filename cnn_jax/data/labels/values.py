"""The label kind of images with one or more numbers each, for regression."""

import math

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.kind import LabelKind, LabelStatistics, Shape


class Values(LabelKind):
    """Labels float32 [n, values]. The names of the values are the data's `classes`.

    A label is a property of the whole image. So the augmentations of the training
    images do not change it.
    """

    name = "values"
    described = "one or more numbers per image"
    dtype = np.dtype(np.float32)
    expected = "[n, values]"

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        del image_shape
        return len(label_shape) == 1

    def check_range(self, labels: np.ndarray, classes: int, role: str) -> None:
        if labels.shape[-1] != classes or not np.isfinite(labels).all():
            raise UserError(
                f"a label of the {role} split has {labels.shape[-1]} numbers; a label "
                f"must have {classes} finite numbers, one for each name."
            )

    def statistics(self, labels: np.ndarray, classes: int) -> LabelStatistics:
        """Returns the mean and the standard deviation of each value.

        The sums are exact, so the results are the same on every machine. The standard
        deviation of a value that is always the same is 1.
        """
        del classes
        means, deviations = [], []
        for column in labels.astype(np.float64).T.tolist():
            means.append(math.fsum(column) / len(column))
            squares = math.fsum((value - means[-1]) ** 2 for value in column)
            deviations.append(math.sqrt(squares / len(column)) or 1.0)
        return LabelStatistics(mean=tuple(means), std=tuple(deviations))

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        return rng.normal(size=(*shape[:1], classes)).astype(np.float32)


VALUES = Values()
