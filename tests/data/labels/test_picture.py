"""A picture as the target of each image."""

import numpy as np
import pytest

from cnn_jax.data.labels.kind import Move
from cnn_jax.data.labels.picture import PICTURE


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((4, 6, 3), True),
        ((12, 18, 3), True),
        ((12, 12, 3), False),
        ((13, 18, 3), False),
        ((4, 6, 1), False),
        ((2, 3, 3), False),
    ],
)
def test_a_picture_is_a_whole_number_of_times_as_large(shape, fits):
    assert PICTURE.fits(shape, (4, 6, 3)) == fits


def test_a_picture_moves_by_its_own_pixels():
    given = []
    move = Move(lambda label, **how: given.append(how) or label, None)
    PICTURE.moved(np.zeros((12, 18, 3), np.uint8), [move], (4, 6))
    assert given == [{"factor": 3}]
    assert PICTURE.movable and not PICTURE.recolorable
