"""The label kind of picture pairs, each with a content picture and a style picture."""

import numpy as np

from cnn_jax.data.labels.kind import LabelKind, Shape


class Style(LabelKind):
    """Labels int32 [n]: the index of the style picture.

    Images are pairs [n, 2, ...] of a content picture and a style picture. Pairs are not
    augmented.
    """

    name = "style"
    described = "a style beside each picture"
    dtype = np.dtype(np.int32)
    expected = "[n]"
    movable = False
    recolorable = False
    paired = True

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        return label_shape == () and len(image_shape) == 4


STYLE = Style()
