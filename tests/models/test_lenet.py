"""LeNet-5 beside the figures of textbooks, and written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.models.lenet import LeNet5


def shapes_of(model, shape):
    """The shapes of the variables, and of what each module returns."""

    def initialize(x):
        return model.init_with_output(
            jax.random.key(0),
            x,
            train=False,
            capture_intermediates=True,
            mutable=["params", "intermediates"],
        )

    _, state = jax.eval_shape(
        initialize, jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    )
    outputs = {
        name: found["__call__"][0].shape[1:]
        for name, found in state["intermediates"].items()
        if "__call__" in found and name != "features"
    }
    return state["params"], outputs


@pytest.mark.parametrize(
    ("shape", "padding", "sides", "parameters"),
    [
        ((32, 32, 1), (0, 0), (28, 14, 10, 5), 61_706),
        ((28, 28, 1), (2, 0), (28, 14, 10, 5), 61_706),
        ((8, 8, 1), (2, 2), (8, 4, 4, 2), 21_386),
    ],
)
def test_maps_and_parameters(shape, padding, sides, parameters):
    params, outputs = shapes_of(LeNet5(num_classes=10, padding=padding), shape)
    layers = ("conv1", "pool1", "conv2", "pool2")
    channels = (6, 6, 16, 16)
    expected = {
        name: (side, side, count)
        for name, side, count in zip(layers, sides, channels, strict=True)
    }
    flat = sides[-1] ** 2 * 16
    expected |= {"flatten": (flat,), "fc1": (120,), "fc2": (84,), "head": (10,)}
    assert outputs == expected
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_written_out(pool, activation, random_variables):
    model = LeNet5(
        num_classes=3,
        padding=(1, 2),
        head_width=(4,),
        pool=pool,
        activation=activation,
    )
    variables = random_variables(model, (10, 10, 1))
    image = np.random.default_rng(1).standard_normal((1, 10, 10, 1))
    act = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[activation]
    reduce = {"avg": np.mean, "max": np.max}[pool]
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params = params["params"]
    x = image[0]
    for name, padding in (("conv1", 1), ("conv2", 2)):
        kernel = params[name]["kernel"]
        x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
        x = np.concatenate(
            [
                correlate(x, kernel[..., feature], mode="valid")
                for feature in range(kernel.shape[-1])
            ],
            -1,
        )
        x = act(x + params[name]["bias"])
        height, width, count = x.shape
        x = reduce(x.reshape(height // 2, 2, width // 2, 2, count), axis=(1, 3))
    x = act(x.reshape(-1) @ params["fc1"]["kernel"] + params["fc1"]["bias"])
    expected = x @ params["head"]["kernel"] + params["head"]["bias"]
    found = model.apply(variables, jnp.asarray(image, jnp.float32), train=False)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)


def test_how_weights_start():
    """LeCun et al. 1998, "Efficient BackProp": a variance of 1 / fan_in."""
    model = LeNet5(num_classes=10)
    init = jax.jit(lambda x: model.init(jax.random.key(0), x, train=False))
    params = init(jnp.zeros((1, 32, 32, 1)))["params"]
    for name, fan_in in (("conv2", 150), ("fc1", 400), ("fc2", 120)):
        std = params[name]["kernel"].std()
        np.testing.assert_allclose(std, fan_in**-0.5, rtol=0.05)
        np.testing.assert_array_equal(params[name]["bias"], 0)


def test_dilation_keeps_the_map_large(assert_dilation_samples):
    model = models.create("lenet5", num_classes=3, head="gap")
    assert_dilation_samples(model, output_stride=2, size=44)


@pytest.mark.parametrize("padding", [(0,), (0, 0, 0)])
def test_one_padding_a_convolution(padding):
    with pytest.raises(UserError, match="needs two entries, one for each convolution"):
        LeNet5(num_classes=3, padding=padding)


def test_as_published():
    assert models.create("lenet5") == LeNet5(num_classes=10)
    assert LeNet5(num_classes=10).pool == "avg"
    assert LeNet5(num_classes=10).activation == "tanh"
