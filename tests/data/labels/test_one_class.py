"""One class for each image."""

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels import CLASS


def test_a_label_is_a_number():
    assert CLASS.shape((4, 6, 3)) == ()
    CLASS.check_range(np.array([0, 1]), 2, "train")
    with pytest.raises(UserError, match=r"-1 to 1; for 2 classes"):
        CLASS.check_range(np.array([0, -1, 1]), 2, "train")


def test_examples_of_each_class_are_counted():
    labels = np.array([2, 0, 2, -1], np.int32)
    assert CLASS.statistics(labels, 4).counts == (1, 0, 2, 0)
