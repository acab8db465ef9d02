"""Diagrams are pictures, of any counts and any names."""

import numpy as np

from cnn_jax.tasks import diagrams
from cnn_jax.tasks.binary_curves import curves
from cnn_jax.tasks.calibration import BINS


def is_picture(found):
    return found.dtype == np.uint8 and found.shape == (400, 400, 3) and found.std() > 0


def test_a_reliability_diagram():
    bins = np.zeros((3, BINS))
    bins[:, 3] = [4, 1, 2]
    low = diagrams.reliability(bins)
    bins[2, 3] = 4  # more are right
    high = diagrams.reliability(bins)
    assert is_picture(low) and (low != high).any()


def test_curves_of_two_classes():
    found = curves(np.array([0.1, 0.7, 0.4]), np.array([False, True, True]))
    for draw in (diagrams.roc, diagrams.precision_recall):
        assert is_picture(draw(found, r"\$b\$"))
