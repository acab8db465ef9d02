import functools

import pytest

from cnn_jax.analysis import overview


@pytest.fixture(scope="session")
def table_of():
    """`table_of(name)`: the layers of an architecture as published, traced once."""
    return functools.cache(overview.published_table)
