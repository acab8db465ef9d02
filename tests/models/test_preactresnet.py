import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.models.classifier import HEADS


def variables_of(model, shape):
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, False), x
    )


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters"),
    [
        # ResNet-18 less the normalizations of the projections, with one behind the
        # last block; a block's first has the channels of its input.
        ("preactresnet", 1000, 11_687_720),
        # As timm's resnetv2_50.
        pytest.param("preactresnet50", 1000, 25_549_352, marks=pytest.mark.full),
        # Both 1.7M in Zagoruyko and Komodakis 2016, table 5; to the last parameter
        # those of pytorchcv's preresnet110_cifar10 and preresnet164bn_cifar10.
        pytest.param("preactresnet110", 10, 1_730_522, marks=pytest.mark.full),
        pytest.param("preactresnet164", 10, 1_703_258, marks=pytest.mark.full),
    ],
)
def test_parameters(name, num_classes, parameters):
    model = models.create(name, num_classes=num_classes)
    _, variables = variables_of(model, (32, 32, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == parameters


def test_multiply_accumulates():
    # Normalization counts for none, so that they are those of ResNet-18.
    model = models.create("preactresnet", num_classes=1000)
    table = layer_table(model, (224, 224, 3))
    assert sum(row.macs for row in table) == 1_814_073_344


def test_first_block_takes_the_stem_as_it_is():
    model = models.create("preactresnet", num_classes=3, width=4)
    _, variables = variables_of(model, (32, 32, 3))
    params = variables["params"]
    blocks = {f"stage{s}_block{b}" for s in (1, 2, 3, 4) for b in (1, 2)}
    assert params.keys() == {"stem", *blocks, "norm", "head"}
    assert params["stem"].keys() == {"conv", "norm"}
    assert {name for name in blocks if "norm1" not in params[name]} == {"stage1_block1"}
    # The last normalization: behind the last block.
    assert params["norm"]["scale"].shape == (32,)


def test_last_map_is_activated(random_variables):
    attributes = {"stage_sizes": (1, 1), "width": 2, "stem": "small"}
    model = models.create("preactresnet", num_classes=3, **attributes)
    variables = random_variables(model, (8, 8, 1))
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
    maps = jax.jit(lambda x: models.features(model, variables, x))(x)
    assert maps.shape == (1, 4, 4, 4)
    assert np.all(maps >= 0)
    assert np.any(maps > 0)


@pytest.mark.parametrize(
    ("attributes", "natural", "output_stride", "size"),
    [
        pytest.param({"stage_sizes": (1, 1, 2)}, 16, 4, 35, marks=pytest.mark.full),
        ({"stage_sizes": (1, 2, 1), "block": "bottleneck", "stem": "small"}, 4, 1, 21),
    ],
)
def test_dilated_network_equals_the_strided_one_sampled(
    attributes, natural, output_stride, size, random_variables
):
    plain = models.create("preactresnet", num_classes=3, width=4, **attributes)
    dilating = plain.clone(output_stride=output_stride)
    variables = random_variables(plain, (size, size, 3))
    x = jax.random.normal(jax.random.key(0), (1, size, size, 3))
    strided, dilated = (
        np.array(jax.jit(lambda x, m=model: models.features(m, variables, x))(x))
        for model in (plain, dilating)
    )
    assert strided.shape[1] == -(-size // natural)
    assert dilated.shape[1] == -(-size // output_stride)
    every = natural // output_stride
    scale = np.abs(strided).max()
    assert scale > 0
    np.testing.assert_allclose(dilated[:, ::every, ::every], strided, atol=1e-5 * scale)


@pytest.mark.full
@pytest.mark.parametrize("head", HEADS)
def test_heads_on_small_images(head, head_shapes):
    model = models.create(
        "preactresnet", num_classes=7, head=head, stem="small", width=4
    )
    outputs, _ = variables_of(model, (8, 8, 1))
    assert jax.tree.map(jnp.shape, outputs) == head_shapes(head, (8, 8))
