"""Boxes by themselves."""

from pathlib import Path

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import boxes


def test_what_reaches_beyond_an_image_by_a_pixel_is_cut_off():
    assert boxes.inside((-1.0, 2.0, 11.0, 20.5), (10, 20), "x") == (0, 2, 10, 20)
    for box in [
        (-1.1, 2, 5, 5),
        (2, 2, 5, 21.5),
        (5, 5, 5, 9),
        (9, 2, 8, 3),
        (10.2, 2, 10.9, 5),
        (8, 8, 8 + 1e-9, 9),  # empty in the precision of labels
        (1e308, 0, np.inf, 2),
    ]:
        with pytest.raises(UserError, match=r"x from .* is empty, or not inside the"):
            boxes.inside(tuple(map(float, box)), (10, 20), "x")


def annotated(*found, size=(10, 20)):
    objects = [boxes.Object("cat", tuple(map(float, box)), False) for box in found]
    return boxes.Annotated("x", Path("x.png"), size, objects)


def test_fractions():
    fractions = annotated((0, 0, 0.5, 1), (0.1, 0.2, 0.3, 0.4))
    with pytest.raises(UserError, match="set: all coordinates of boxes are at most 1"):
        boxes.check_pixels([fractions, annotated()], Path("set"))
    for images in [
        [],
        [annotated()],
        [fractions, annotated((0, 0, 2, 2))],
        [annotated((0, 0, 1, 1), size=(1, 1))],
    ]:
        boxes.check_pixels(images, Path("set"))
