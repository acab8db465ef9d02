"""The trapezoid against its corners."""

import numpy as np

from cnn_jax.training.schedules.trapezoid import trapezoid
from tests.training.schedules.rates import rates


def test_warm_up_stable_decay():
    found = rates(trapezoid(0.8, 20, warmup=4, decay_share=0.2, end_factor=0.5), 22)
    wanted = [0.2, 0.4, 0.6, *[0.8] * 14, 0.7, 0.6, 0.5, 0.4, 0.4]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_decay_begins_after_the_warm_up():
    found = rates(trapezoid(1.0, 10, warmup=5, decay_share=1.0), 11)
    wanted = [0.2, 0.4, 0.6, 0.8, 1, 1, 0.8, 0.6, 0.4, 0.2, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
