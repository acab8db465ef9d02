"""Which modules are called, and which of them are a network's layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

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


def paths(found):
    return ["/".join(call.module.path) for call in found]


def test_layers_have_parameters_or_call_no_other_module():
    """The latter make an array of an array."""
    recorder, params = recorded(Net())
    own = calls.own_parameters(params, recorder.types)
    # A shared layer each time; neither a module that calls others nor one that returns
    # its input.
    expected = ["block/conv", "block/doubled", "shared", "shared"]
    assert paths(calls.layers(recorder.calls, own, {})) == expected
    assert all(call.described for call in recorder.calls if call.module.name == "conv")


def test_modules_that_multiply_themselves_are_layers():
    recorder, params = recorded(Net(last=Scaled))
    own = calls.own_parameters(params, recorder.types)
    (block,) = [call for call in recorder.calls if call.module.name == "block"]
    found = calls.layers(recorder.calls, own, {block.scope: 7})
    expected = ["block/conv", "block/doubled", "block", "shared", "shared", "last"]
    assert paths(found) == expected
    assert not found[2].described and not found[-1].described


class Helped(nn.Module):
    """Methods of its own, and one that others call."""

    def setup(self):
        self.scale = self.param("scale", nn.initializers.ones, ())

    def __call__(self, x):
        return self.scaled(x)

    def scaled(self, x):
        return x * self.scale


class Methods(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        helped = Helped(name="helped")
        return helped.scaled(helped(x))


def test_methods():
    recorder, _ = recorded(Methods())
    assert [call.method for call in recorder.calls] == [
        "__call__",
        "scaled",
        "__call__",
    ]
    assert paths(recorder.calls) == ["helped", "helped", ""]
    assert recorder.types == {(): Methods, ("helped",): Helped}


class Lifted(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = layers.Conv(4, 3, name="conv")(x)
        return nn.remat(layers.Conv)(4, 3, name="remat")(x)


def test_lifted_calls_have_no_output():
    recorder, _ = recorded(Lifted())
    conv, remat, net = recorder.calls
    assert (conv.lifted, remat.lifted, net.lifted) == (False, True, False)
    assert (conv.output, remat.output, net.output) == (0, None, 1)
    assert conv.described and not remat.described
    # JAX may trace such a call without using it.
    own = {("conv",), ("remat",)}
    assert calls.layers(recorder.calls, own, {}) == [conv]
    assert calls.layers(recorder.calls, own, {remat.scope: 0}) == [conv, remat]


def test_memory_is_that_of_new_arrays():
    recorder, _ = recorded(Net())
    conv, doubled, same, block, *_ = recorder.calls
    size = 6 * 6 * 4 * 4
    memory = [call.memory for call in (conv, doubled, same, block)]
    assert memory == [size, size, 0, 0]


def test_parameters_by_module():
    params = {
        "block": {"conv": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}},
        "scale": jnp.ones(2),
        # One parameter that is a tree.
        "last": {"pair": {"a": jnp.ones(3), "b": [jnp.ones(1), jnp.ones(1)]}},
        "boxed": {"kernel": nn.Partitioned(jnp.ones(7), ("x",))},
    }
    modules = {(), ("block",), ("block", "conv"), ("last",), ("boxed",)}
    assert calls.own_parameters(params, modules) == {
        ("block", "conv"): 16,
        (): 2,
        ("last",): 5,
        ("boxed",): 7,
    }
    assert calls.own_parameters({}, modules) == {}
