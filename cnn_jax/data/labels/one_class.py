"""The label kind of one class for each image."""

import numpy as np

from cnn_jax.data.labels.kind import LabelKind, LabelStatistics, Shape


class OneClass(LabelKind):
    """Labels int32 [n]: the index of the class of each image."""

    name = "class"
    described = "one label per image"
    dtype = np.dtype(np.int32)
    expected = "[n]"
    mixable = True

    def shape(self, image_shape: Shape) -> Shape:
        del image_shape
        return ()

    def classes_in(self, labels: np.ndarray) -> np.ndarray:
        return labels

    def statistics(self, labels: np.ndarray, classes: int) -> LabelStatistics:
        counts = np.bincount(labels[labels >= 0], minlength=classes)
        return LabelStatistics(counts=tuple(counts.tolist()))


CLASS = OneClass()
