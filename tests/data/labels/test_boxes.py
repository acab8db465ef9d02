"""Boxes around the objects of an image."""

import numpy as np

from cnn_jax.data.labels.boxes import BOXES, padded
from cnn_jax.data.labels.kind import Move

BOX = np.array([[3, 1, 2, 5, 8], [-1, 0, 0, 0, 0]], np.float32)


def moved(points, boxes=BOX, size=(10, 12), times=1):
    return np.asarray(BOXES.moved(boxes, [Move(None, points)] * times, size)).tolist()


def test_rows_fill_up():
    assert padded(BOX[:1], 2).tolist() == BOX.tolist()
    assert BOXES.classes_in(BOX[None]).tolist() == [3]


def test_a_box_is_around_its_moved_corners():
    assert moved(lambda points: points) == BOX.tolist()
    assert moved(lambda points: points + 1)[0] == [3, 2, 3, 6, 9]
    assert moved(lambda points: points[:, ::-1])[0] == [3, 2, 1, 8, 5]
    assert moved(lambda points: points - 1, times=2)[0] == [3, 0, 0, 3, 6]


def test_a_box_ends_where_the_image_does():
    assert moved(lambda points: points - 3)[0] == [3, 0, 0, 2, 5]
    assert moved(lambda points: points - 4)[0] == [-1, 0, 0, 1, 4]
    # A small box that is whole is kept.
    small = np.array([[3, 4, 5, 5, 6]], np.float32)
    assert moved(lambda points: points - 4, small) == [[3, 0, 1, 1, 2]]


def test_without_a_move_nothing_is_cut():
    boxes = np.array([[3, -1, -2, 5, 30]], np.float32)
    assert BOXES.moved(boxes, [], (10, 12)) is boxes
