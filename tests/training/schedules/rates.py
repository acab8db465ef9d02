"""The learning rates of a schedule at every step of a run."""

import numpy as np
from hypothesis import strategies as st

PEAKS = st.floats(1e-4, 10.0)
LENGTHS = st.integers(11, 40)


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in range(steps)])


def warmed(peak, warmup, k, after):
    return np.where(k < warmup, peak * (k + 1) / max(warmup, 1), after)
