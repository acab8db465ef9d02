"""Requirements on the arrays of a split in memory."""

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import array_checks, labels
from cnn_jax.data.dataset import assemble
from cnn_jax.data.splits import Arrays

IMAGES, LABELS = np.zeros((6, 4, 4, 3), np.uint8), np.array([0, 1] * 3, np.int32)


@pytest.mark.parametrize(
    ("images", "labeled", "kind", "message"),
    [
        (
            IMAGES.astype(np.float64),
            LABELS,
            "class",
            r"x: images are float64 \[6, 4, 4, 3\]; they must be uint8 or float32 ",
        ),
        (IMAGES[..., 0], LABELS, "class", r"images are uint8 \[6, 4, 4\]; they must"),
        (
            IMAGES,
            LABELS.astype(np.int64),
            "class",
            r"labels are int64 \[6\]; they must be int32 \[n\] \(one label",
        ),
        (IMAGES, LABELS[:5], "class", r"labels are int32 \[5\]; they must be int32"),
        (IMAGES, LABELS[:, None], "class", r"labels are int32 \[6, 1\]; they must be"),
        (IMAGES, IMAGES[..., 0], "class", r"labels are uint8 \[6, 4, 4\]; they"),
        (
            IMAGES,
            IMAGES[:, 1:, :, 0],
            "pixels",
            r"uint8 \[n, .*\(one label per pixel; n = 6",
        ),
        (IMAGES, LABELS, "boxes", r"must be float32 \[n, most, 5\] \(boxes of"),
    ],
)
def test_types_and_shapes(images, labeled, kind, message):
    with pytest.raises(UserError, match=message):
        array_checks.check("x", Arrays(images, labeled), labels.find(kind))


def test_arrays_that_fit():
    array_checks.check("x", Arrays(IMAGES, LABELS), labels.CLASS)
    array_checks.check("x", Arrays(IMAGES[:, None], LABELS), labels.CLASS)
    array_checks.check("x", Arrays(IMAGES, IMAGES[..., 0]), labels.PIXELS)


def test_arrays_are_checked_before_anything_is_computed_of_them():
    split = Arrays(IMAGES.astype(np.float64), LABELS)
    with pytest.raises(UserError, match="the train split: images are float64"):
        assemble({"train": split, "test": split}, classes=("a", "b"))
