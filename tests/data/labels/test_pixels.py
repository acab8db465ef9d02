"""One class for each pixel."""

import numpy as np

from cnn_jax.data.labels.kind import Move
from cnn_jax.data.labels.pixels import IGNORED, PIXELS


def test_the_shape_is_that_of_the_image():
    assert PIXELS.shape((4, 6, 3)) == (4, 6)
    assert PIXELS.shape((2, 4, 6, 1)) == (2, 4, 6)


def test_pixels_without_a_class_are_in_no_range():
    labels = np.array([[[0, IGNORED]]], np.uint8)
    assert PIXELS.classes_in(labels).tolist() == [0]
    PIXELS.check_range(labels, 1, "train")


def test_statistics_count_the_pixels_of_each_class():
    labels = np.array([[[0, 2], [2, IGNORED]], [[2, 2], [0, 0]]], np.uint8)
    assert PIXELS.statistics(labels, 4).counts == (3, 0, 4, 0)


def test_labels_move_as_pictures_that_keep_their_values():
    given = []

    def picture(label, **how):
        given.append(how)
        return label + 1

    label = np.zeros((4, 6), np.uint8)
    moved = PIXELS.moved(label, [Move(picture, None)] * 2, (4, 6))
    np.testing.assert_array_equal(moved, label + 2)
    assert given == [{"outside": IGNORED, "nearest": True}] * 2
