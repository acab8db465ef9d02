"""Any number of classes per image."""

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import labels
from cnn_jax.data.labels import MULTI_LABEL


def test_a_row_of_zeros_and_ones():
    assert labels.find("multi_label") is MULTI_LABEL
    assert MULTI_LABEL.fits((3,), (8, 8, 1)) and not MULTI_LABEL.fits((), (8, 8, 1))
    made = MULTI_LABEL.random(np.random.default_rng(0), (5, 3), 3)
    assert made.shape == (5, 3) and set(np.unique(made)) == {0, 1}
    MULTI_LABEL.check_range(made, 3, "train")


@pytest.mark.parametrize("rows", [[[0, 2, 0]], [[0, 1]]])
def test_rows_that_are_none(rows):
    with pytest.raises(UserError, match="must have 3 entries, one per class, and each"):
        MULTI_LABEL.check_range(np.array(rows, np.uint8), 3, "train")
