"""The label kind of images that have any number of classes."""

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.kind import LabelKind, Shape


class MultiLabel(LabelKind):
    """Labels uint8 [n, classes].

    An entry is 1 if the image has the class, and 0 otherwise.
    """

    name = "multi_label"
    described = "any number of classes per image"
    dtype = np.dtype(np.uint8)
    expected = "[n, classes]"

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        del image_shape
        return len(label_shape) == 1

    def check_range(self, labels: np.ndarray, classes: int, role: str) -> None:
        if labels.shape[-1] != classes or labels.max(initial=0) > 1:
            raise UserError(
                f"a label of the {role} split has {labels.shape[-1]} entries, and the "
                f"largest entry is {labels.max(initial=0)}; a label must have "
                f"{classes} entries, one per class, and each entry must be 0 or 1."
            )

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        return rng.integers(0, 2, (*shape[:1], classes), np.uint8)


MULTI_LABEL = MultiLabel()
