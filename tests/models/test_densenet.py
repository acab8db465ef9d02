"""DenseNet: published figures, names, shapes, dilation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.core.errors import UserError

TINY = {"growth_rate": 2, "init_features": 3, "block_sizes": (1, 2, 1)}


def traced(model, size, channels=3):
    """Shapes of logits, and of the variables with all that is captured."""
    x = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            train=False,
            capture_intermediates=True,
            mutable=True,
        ),
        x,
    )


@pytest.mark.full
def test_as_published():
    model = models.create("densenet121", num_classes=1000)
    table = layer_table(model, (224, 224, 3))
    assert table.parameters == 7_978_856  # torchvision, as the next
    assert table.macs == pytest.approx(2.834e9, rel=0.001)


def test_of_cifar_as_published():
    # Huang et al. 2017, table 2: DenseNet-BC with 100 layers has 0.8 million.
    sizes = (16, 16, 16)
    model = models.create(
        "densenet121",
        num_classes=10,
        growth_rate=12,
        init_features=24,
        block_sizes=sizes,
        stem="small",
    )
    _, variables = traced(model, 32)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert round(count / 1e6, 1) == 0.8
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim > 1]
    assert len(kernels) == 100


def test_names_and_shapes():
    model = models.create("densenet121", num_classes=7, block_sizes=(1, 2, 3))
    _, variables = traced(model, 64)
    maps = variables["intermediates"]
    assert set(variables["params"]) == {
        *("stem", "transition1", "transition2", "norm", "head"),
        "denseblock1_layer1",
        *(f"denseblock2_layer{i}" for i in (1, 2)),
        *(f"denseblock3_layer{i}" for i in (1, 2, 3)),
    }
    shapes = {name: maps[name]["__call__"][0].shape[1:] for name in variables["params"]}
    assert shapes == {
        "stem": (16, 16, 64),
        "denseblock1_layer1": (16, 16, 96),
        "transition1": (8, 8, 48),
        "denseblock2_layer1": (8, 8, 80),
        "denseblock2_layer2": (8, 8, 112),
        "transition2": (4, 4, 56),
        "denseblock3_layer1": (4, 4, 88),
        "denseblock3_layer2": (4, 4, 120),
        "denseblock3_layer3": (4, 4, 152),
        "norm": (4, 4, 152),
        "head": (7,),
    }
    # A layer keeps what it gets, in front of what it adds.
    layer = variables["params"]["denseblock2_layer2"]
    assert layer["norm1"]["scale"].shape == (80,)
    assert layer["conv1"]["kernel"].shape == (1, 1, 80, 128)
    assert layer["conv2"]["kernel"].shape == (3, 3, 128, 32)


@pytest.mark.parametrize(("size", "expected"), [(8, 1), (32, 4)])
def test_small_images(size, expected):
    model = models.create(
        "densenet121", num_classes=7, stem="small", block_sizes=(1, 1, 1, 1)
    )
    logits, variables = traced(model, size, channels=1)
    (features,) = variables["intermediates"]["features"]
    assert features.shape[:3] == (2, expected, expected)
    assert logits.shape == (2, 7)
    assert variables["params"]["stem"]["conv"]["kernel"].shape == (3, 3, 1, 64)


@pytest.mark.full
@pytest.mark.parametrize(
    ("stem", "size", "natural", "output_stride"),
    [("imagenet", 48, 16, 1), ("small", 12, 4, 2)],
)
def test_dilated_network_equals_the_strided_one_sampled(
    stem, size, natural, output_stride, random_variables
):
    plain = models.create("densenet121", num_classes=3, stem=stem, **TINY)
    variables = random_variables(plain, (size, size, 3))
    x = jax.random.normal(jax.random.key(0), (1, size, size, 3))

    def run(model):
        return np.array(
            jax.jit(lambda v, x: models.features(model, v, x))(variables, x)
        )

    strided, dilated = run(plain), run(plain.clone(output_stride=output_stride))
    assert strided.shape[1] == math.ceil(size / natural)
    assert dilated.shape[1] == math.ceil(size / output_stride)
    every = natural // output_stride
    scale = np.abs(strided).max()
    assert scale > 0
    np.testing.assert_allclose(dilated[:, ::every, ::every], strided, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "cifar"}, "stem 'cifar'.*imagenet, small"),
        ({"growth_rate": 0}, "growth_rate=0 must be at least 1"),
        ({"block_sizes": ()}, "block_sizes=.* at least 1|needs at least one"),
        ({"block_sizes": (1, 0)}, "block_sizes=.* at least 1|needs at least one"),
        ({"compression": 0.0}, "compression=0.0 must be above 0"),
        ({"output_stride": 64}, "set one of 1, 2, 4, .* stride is 32"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("densenet121", num_classes=3, **attributes)
