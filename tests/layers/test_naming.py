"""Which layer an error is about."""

import flax.linen as nn
import jax
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.layers.naming import named, where


class Layer(nn.Module):
    def __call__(self):
        with named(where(self)):
            raise UserError("too small")


class Net(nn.Module):
    def setup(self):
        self.stem = Inner()

    def __call__(self):
        return self.stem()


class Inner(nn.Module):
    @nn.compact
    def __call__(self):
        return Layer(name="conv1")()


@pytest.mark.parametrize(
    ("module", "place"), [(Net(), "stem/conv1"), (Inner(), "conv1"), (Layer(), "Layer")]
)
def test_a_layer_is_named_by_its_path(module, place):
    """A layer without a path is named by its class."""
    with pytest.raises(UserError, match=f"^{place}: too small"):
        module.init(jax.random.key(0))


def test_a_module_outside_of_a_call():
    assert where(Layer(name="x")) == "Layer"


def test_names_stand_one_in_front_of_the_other():
    expected = pytest.raises(UserError, match=r"^outer: inner: no$")
    with expected, named("outer"), named("inner"):
        raise UserError("no")


def test_no_name_leaves_an_error_as_it_is():
    with pytest.raises(UserError, match=r"^no$"), named(""):
        raise UserError("no")


def test_other_errors_are_left_alone():
    with pytest.raises(ValueError, match=r"^no$"), named("outer"):
        raise ValueError("no")
