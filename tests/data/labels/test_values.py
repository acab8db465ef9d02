"""One or more numbers per image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.values import VALUES

NUMBERS = st.floats(-(2.0**40), 2.0**40, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.just(2)), elements=NUMBERS))
def test_statistics_are_numpys(labels):
    found = VALUES.statistics(labels, 2)
    wide = labels.astype(np.float64)
    np.testing.assert_allclose(found.mean, wide.mean(0), rtol=1e-9, atol=1e-3)
    expected = np.where(np.ptp(wide, axis=0) == 0, 1, wide.std(0))
    np.testing.assert_allclose(found.std, expected, rtol=1e-6)
    assert found.counts == ()
    # The order of the examples decides nothing, not even a last bit.
    assert VALUES.statistics(labels[::-1], 2) == found


@pytest.mark.parametrize("labels", [[[1.0]], [[1.0, np.nan]], [[1.0, np.inf]]])
def test_labels_of_other_shapes_or_without_a_value(labels):
    VALUES.check_range(np.ones((3, 2), np.float32), 2, "test")
    with pytest.raises(UserError, match=r"label of the test split .* 2 finite numbers"):
        VALUES.check_range(np.array(labels, np.float32), 2, "test")
