"""The warm-up with which schedules begin."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training.schedules.warm_up import warm_up


def test_the_schedule_after_the_warm_up_counts_from_its_end():
    schedule = warm_up(0.8, 100, 4, lambda k: 10.0 + k)
    assert [float(schedule(step)) for step in range(6)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 10, 11]
    )


def test_no_warm_up():
    def after(k):
        return 0.1

    assert warm_up(0.8, 100, 0, after) is after


def test_the_warm_up_is_shorter_than_the_run():
    warm_up(0.1, 8, 7, float)
    with pytest.raises(UserError, match="warm-up of 8 steps, but the whole run has 8"):
        warm_up(0.1, 8, 8, float)
