"""Which modules are called, and which of them are a network's layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax import layers
from cnn_jax.analysis import calls
from cnn_jax.analysis.calls import Recorder


class Doubled(nn.Module):
    """A layer that nobody knows, without parameters."""

    @nn.compact
    def __call__(self, x):
        return 2 * x


class Unchanged(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


class Scaled(nn.Module):
    """One with parameters."""

    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, (x.shape[-1],))


class Named(nn.Module):
    """One that returns no array."""

    @nn.compact
    def __call__(self, x):
        return {"x": x}


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = layers.Conv(4, 3, name="conv")(x)
        return Unchanged(name="same")(Doubled(name="doubled")(x))


class Net(nn.Module):
    last: type = Named

    @nn.compact
    def __call__(self, x, train=False):
        shared = layers.Dense(4, name="shared")
        x = Block(name="block")(x)
        return self.last(name="last")(shared(shared(x)))


def recorded(model, shape=(2, 6, 6, 1)):
    """The recorder of one call, and the parameters."""
    recorder = Recorder()
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    params = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)["params"]

    def apply(params, x):
        with recorder.recording():
            model.apply({"params": params}, x)
        return recorder.outputs

    jax.eval_shape(apply, params, x)
    return recorder, params


def test_calls_are_noted_in_the_order_in_which_they_end():
    recorder, _ = recorded(Net())
    names = ["/".join(call.module.path) for call in recorder.calls]
    inside = ["block/conv", "block/doubled", "block/same", "block"]
    assert names == [*inside, "shared", "shared", "last", ""]
    conv, doubled, same, block, first, second, last, net = recorder.calls
    assert (conv.in_shape, conv.out_shape) == ((6, 6, 1), (6, 6, 4))  # of one example
    assert same.unchanged and not doubled.unchanged
    assert (last.out_shape, last.output, net.output) == (None, None, None)
    places = [conv, doubled, same, block, first, second]
    assert [call.output for call in places] == [0, 1, 2, 3, 4, 5]
    assert len(recorder.outputs) == 6


def test_a_recording_drops_the_one_before():
    recorder = Recorder()
    for _ in range(2):
        with recorder.recording():
            Doubled().apply({}, jnp.ones((1, 2)))
        assert len(recorder.calls) == len(recorder.outputs) == 1
    Doubled().apply({}, jnp.ones((1, 2)))  # outside of it
    assert len(recorder.calls) == 1


def test_what_a_layer_is():
    """It has parameters, or calls no other module and makes an array of an array."""
    recorder, params = recorded(Net())
    found = calls.layers(recorder.calls, calls.own_parameters(params))
    names = ["/".join(call.module.path) for call in found]
    # A shared layer each time; neither what calls others nor what changes nothing.
    assert names == ["block/conv", "block/doubled", "shared", "shared"]


def test_a_layer_with_parameters_that_nobody_knows():
    recorder, params = recorded(Net(last=Scaled))
    with pytest.raises(TypeError, match="last is a Scaled, whose multiply-accumulates"):
        calls.layers(recorder.calls, calls.own_parameters(params))


def test_parameters_by_module():
    _, params = recorded(Net(last=Scaled))
    assert calls.own_parameters(params) == {
        ("block", "conv"): 3 * 3 * 1 * 4 + 4,
        ("shared",): 4 * 4 + 4,
        ("last",): 4,
    }
    assert calls.own_parameters({}) == {}
