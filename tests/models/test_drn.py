import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.core.errors import UserError
from cnn_jax.models import pixel_heads
from cnn_jax.models.classifier import HEADS

TINY = {"width": 2, "stage_sizes": (1,) * 8}


def outputs(model, shape):
    """Shapes of all modules' outputs by their paths, and of the variables."""
    _, state = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            False,
            capture_intermediates=True,
            mutable=["params", "batch_stats", "intermediates"],
        ),
        jax.ShapeDtypeStruct((1, *shape), jnp.float32),
    )
    maps = state["intermediates"]
    return {
        name: maps[name]["__call__"][0].shape[1:]
        for name in maps
        if name not in ("__call__", "features")
    }, state["params"]


def test_costs():
    # 21.1M in Yu et al. 2017, table 1; exactly those of the authors' drn_c_26 (code
    # at github.com/fyu/drn), as are the multiply-accumulates.
    model = models.create("drn_c_26", num_classes=1000)
    table = layer_table(model, (224, 224, 3))
    assert sum(row.parameters for row in table) == 21_126_584
    assert sum(row.macs for row in table) == 16_971_239_424


def test_stages():
    model = models.create("drn_c_26", num_classes=1000)
    shapes, params = outputs(model, (224, 224, 3))
    assert {name: shape for name, shape in shapes.items() if "block1" in name} == {
        "stage1_block1": (224, 224, 16),
        "stage2_block1": (112, 112, 32),
        "stage3_block1": (56, 56, 64),
        "stage4_block1": (28, 28, 128),
        "stage5_block1": (28, 28, 256),
        "stage6_block1": (28, 28, 512),
        "stage7_block1": (28, 28, 512),
        "stage8_block1": (28, 28, 512),
    }
    blocks = [name for name in params if "block" in name]
    assert len(blocks) == 12
    projected = {name for name in blocks if "shortcut_conv" in params[name]}
    assert projected == {f"stage{stage}_block1" for stage in (2, 3, 4, 5, 6)}


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        # (first, second) convolution of the first block of stages 4 to 8
        (None, [(1, 1), (2, 2), (4, 4), (2, 2), (1, 1)]),
        (4, [(1, 2), (4, 4), (8, 8), (4, 4), (2, 2)]),
    ],
)
def test_dilation(output_stride, expected):
    model = models.create("drn_c_26", num_classes=3, output_stride=output_stride)
    found = {}

    def record(next_method, args, kwargs, context):
        if isinstance(context.module, layers.Conv):
            found["/".join(context.module.path)] = context.module.dilation
        return next_method(*args, **kwargs)

    def init(x):
        return model.init(jax.random.key(0), x, train=False)

    with nn.intercept_methods(record):
        jax.eval_shape(init, jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32))
    assert [
        tuple(found[f"stage{stage}_block1/conv{i}"][0] for i in (1, 2))
        for stage in (4, 5, 6, 7, 8)
    ] == expected


def test_last_stages_have_no_shortcuts(random_variables):
    model = models.create("drn_c_26", num_classes=3, stem="small", **TINY)
    variables = random_variables(model, (8, 8, 1))
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    features = jax.jit(lambda variables: models.features(model, variables, x))
    for stage in (6, 7, 8):
        # Two images look the same where nothing goes around a branch that is zero.
        silent = jax.tree.map(lambda leaf: leaf, variables)
        norm = silent["params"][f"stage{stage}_block1"]["norm2"]
        norm["scale"] = jnp.zeros_like(norm["scale"])
        first, second = features(silent)
        assert np.array_equal(first, second) == (stage > 6)


def test_dilated_network_equals_the_strided_one_sampled(random_variables):
    natural, output_stride = 8, 2
    plain = models.create("drn_c_26", num_classes=3, **TINY)
    dilating = plain.clone(output_stride=output_stride)
    variables = random_variables(plain, (27, 27, 3))
    x = jax.random.normal(jax.random.key(0), (1, 27, 27, 3))
    strided, dilated = (
        np.array(jax.jit(lambda x, m=model: models.features(m, variables, x))(x))
        for model in (plain, dilating)
    )
    assert strided.shape[1] == -(-27 // natural)
    assert dilated.shape[1] == -(-27 // output_stride)
    every = natural // output_stride
    scale = np.abs(strided).max()
    assert scale > 0
    np.testing.assert_allclose(dilated[:, ::every, ::every], strided, atol=1e-5 * scale)


@pytest.mark.full
@pytest.mark.parametrize("head", HEADS)
def test_heads_on_small_images(head, head_shapes):
    model = models.create("drn_c_26", num_classes=7, head=head, stem="small", **TINY)
    x = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
    outputs, _ = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, False), x
    )
    assert jax.tree.map(jnp.shape, outputs) == head_shapes(head, (8, 8))


@pytest.mark.full
def test_segmentation():
    """Logits of each pixel of the input, whatever the head, in bfloat16 too."""
    for head in pixel_heads.WIDTHS:
        width = {"head_width": (3, 2)} if head in ("fcn", "deeplab") else {}
        model = models.create(
            "drn_c_26", num_classes=4, head=head, dtype="bfloat16", **width, **TINY
        )
        x = jax.ShapeDtypeStruct((2, 45, 62, 3), jnp.float32)
        logits, variables = jax.eval_shape(
            lambda x, m=model: m.init_with_output(jax.random.key(0), x, False), x
        )
        assert (logits.shape, logits.dtype) == ((2, 45, 62, 4), jnp.float32)
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(variables)}
        assert dtypes == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "cifar"}, "stem 'cifar'"),
        ({"stage_sizes": (1, 1, 2, 2)}, "needs eight entries"),
        (
            {"stage_sizes": (1, 1, 2, 2, 0, 2, 1, 1)},
            "must be at least 1",
        ),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"output_stride": 16}, "set one of 1, 2, 4, 8 .* stride is 8"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("drn_c_26", num_classes=10, **attributes)
