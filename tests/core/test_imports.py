"""Things by name, and by import path."""

import pytest

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError


def test_a_name_of_ours_comes_first():
    assert imports.find("model", "one", {"one": 1}) == 1


def test_an_import_path():
    import flax.linen as nn

    assert imports.find("model", "flax.linen.Dense", {}) is nn.Dense


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two", "unknown model 'two'"),
        ("flax.linen.Nothing", "cannot be imported"),
        ("no_such_package.Net", "cannot be imported"),
        (".Net", "cannot be imported"),
    ],
)
def test_what_leads_nowhere(name, words):
    with pytest.raises(UserError, match=words):
        imports.find("model", name, {"one": 1})
