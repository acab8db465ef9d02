"""The checks of options."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.checks import check_pair


@pytest.mark.parametrize("ends", [(), (1.0,), (1.0, 2.0, 3.0), (2.0, 1.0)])
def test_pairs_are_ascending(ends):
    check_pair("scale", (1.0, 1.0))
    with pytest.raises(UserError, match=r"^scale=\(.*\) must be two numbers"):
        check_pair("scale", ends)
