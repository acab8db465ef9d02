"""Residual networks: stems, strides, dilation, names and initial values."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.analysis.costs import layer_table
from cnn_jax.core.errors import UserError
from cnn_jax.models.strides import plan


def last_map(model, variables, x):
    last = f"stage{len(model.stage_sizes)}_block{model.stage_sizes[-1]}"

    @jax.jit
    def run(variables, x):
        _, state = model.apply(
            variables,
            x,
            False,
            capture_intermediates=lambda module, _: module.name == last,
            mutable=["intermediates"],
        )
        (y,) = state["intermediates"][last]["__call__"]
        return y

    return np.array(run(variables, x))


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "attributes", "natural", "output_stride", "size"),
    [
        ("resnet18", {"stage_sizes": (1, 1, 2, 2)}, 32, 8, 64),
        ("resnet50", {"stage_sizes": (1, 1, 2, 2)}, 32, 16, 75),
        ("resnet50", {"stage_sizes": (1, 1, 1, 2)}, 32, 8, 75),
        ("resnet20", {"shortcut": "identity"}, 4, 1, 21),
        ("resnet20", {"shortcut": "average"}, 4, 1, 21),
        ("resnet18_d", {"stage_sizes": (1, 1, 2, 2)}, 32, 8, 75),
    ],
)
def test_dilated_network_equals_the_strided_one_sampled(
    name, attributes, natural, output_stride, size, random_variables
):
    plain = models.create(name, num_classes=3, width=4, **attributes)
    dilating = plain.clone(output_stride=output_stride)
    variables = random_variables(plain, (size, size, 3))
    x = jax.random.normal(jax.random.key(0), (1, size, size, 3))
    strided, dilated = last_map(plain, variables, x), last_map(dilating, variables, x)
    assert strided.shape[1] == -(-size // natural)
    assert dilated.shape[1] == -(-size // output_stride)
    every = natural // output_stride
    scale = np.abs(strided).max()
    assert scale > 0
    np.testing.assert_allclose(dilated[:, ::every, ::every], strided, atol=1e-5 * scale)


def test_plan_is_torchvisions():
    # (strides, dilation before, dilation after) of replace_stride_with_dilation with
    # nothing; the last stage; the last two, as in torchvision's DeepLab and FCN.
    def stages(output_stride):
        steps = plan([2, 2, 1, 2, 2, 2], output_stride)[2:]
        return [(s.strides[0], s.before[0], s.after[0]) for s in steps]

    assert stages(None) == [(1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)]
    assert stages(32) == stages(None)
    assert stages(16) == [(1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)]
    assert stages(8) == [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]


@pytest.mark.parametrize(
    ("stem", "size", "expected"),
    [("imagenet", 64, 16), ("deep", 64, 16), ("small", 32, 32)],
)
def test_names_and_stems(stem, size, expected):
    model = models.create("resnet18", num_classes=3, stem=stem)
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    _, state = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            False,
            capture_intermediates=True,
            mutable=["params", "batch_stats", "intermediates"],
        ),
        x,
    )
    assert set(state["params"]) == {
        "stem",
        *(f"stage{s}_block{b}" for s in (1, 2, 3, 4) for b in (1, 2)),
        "head",
    }
    maps = state["intermediates"]
    assert maps["stem"]["__call__"][0].shape == (1, expected, expected, 64)
    assert maps["pool"]["__call__"][0].shape == (1, 512)


def test_zero_init_residual_zeroes_only_the_last_scales():
    model = models.create(
        "resnet20",
        num_classes=3,
        width=1,
        stage_sizes=(2, 1),
        zero_init_residual=True,
    )
    x = jnp.zeros((1, 2, 2, 1))
    key = jax.random.key(0, impl="rbg")  # compiles fast
    init = jax.jit(lambda: model.init(key, x, train=False)["params"])
    zero = set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(init()):
        *module, name = (key.key for key in path)
        if name == "scale" and not leaf.any():
            zero.add("/".join(module))
    blocks = ("stage1_block1", "stage1_block2", "stage2_block1")
    assert zero == {f"{block}/norm2" for block in blocks}


def test_synchronized_batch_norm_trains_like_one_device(random_variables):
    attributes = {"stage_sizes": (1, 1), "num_classes": 3}
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    plain = models.create("resnet20", **attributes)
    synced = models.create("resnet20", sync_batch_norm=True, **attributes)
    variables = random_variables(plain, (8, 8, 1))

    def apply(model, x):
        return model.apply(variables, x, True, mutable=["batch_stats"])

    whole, whole_updates = jax.jit(lambda x: apply(plain, x))(x)
    parts, updates = jax.jit(jax.vmap(lambda x: apply(synced, x), axis_name="batch"))(
        x.reshape(2, 2, 8, 8, 1)
    )
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, atol=1e-5),
        updates,
        whole_updates,
    )


def test_stochastic_depth_grows_linearly():
    def dropped(rate):
        """Rates of the layers that drop branches, by name, and all variables."""
        model = models.create(
            "resnet18", num_classes=3, stage_sizes=(2, 1, 1), stochastic_depth=rate
        )
        rates = {}

        def record(next_method, args, kwargs, context):
            if isinstance(context.module, layers.StochasticDepth):
                rates["/".join(context.module.path)] = context.module.rate
            return next_method(*args, **kwargs)

        def init(x):
            return model.init(jax.random.key(0), x, train=False)

        with nn.intercept_methods(record):
            variables = jax.eval_shape(init, jnp.zeros((1, 32, 32, 3)))
        return rates, variables

    rates, variables = dropped(0.4)
    assert rates == pytest.approx(
        {
            "stage1_block1/drop": 0.1,
            "stage1_block2/drop": 0.2,
            "stage2_block1/drop": 0.3,
            "stage3_block1/drop": 0.4,
        }
    )
    without, plain_variables = dropped(0.0)
    assert without == {}
    assert variables == plain_variables


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stochastic_depth": 1.0}, r"stochastic_depth=1\.0 must be at least 0"),
        ({"stochastic_depth": -0.1}, "must be at least 0 and below 1"),
        ({"stochastic_depth": 0.5, "shortcut": "zero"}, "shortcut='zero' has none"),
        ({"zero_init_residual": True, "shortcut": "zero"}, "shortcut='zero' has none"),
    ],
)
def test_impossible_branches(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("resnet20", num_classes=3, **attributes)


def test_stochastic_depth_is_for_training(random_variables):
    attributes = {"num_classes": 3, "stage_sizes": (1, 1), "width": 4}
    plain = models.create("resnet20", **attributes)
    dropping = plain.clone(stochastic_depth=0.9)
    variables = random_variables(plain, (8, 8, 1))
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    logits = [
        jax.jit(lambda x, model=model: model.apply(variables, x, False))(x)
        for model in (plain, dropping)
    ]
    np.testing.assert_array_equal(*logits)

    @jax.jit
    def train(key):
        rngs = {"dropout": key}
        return dropping.apply(variables, x, True, rngs=rngs, mutable=["batch_stats"])[0]

    keys = jax.random.split(jax.random.key(0, impl="rbg"))
    assert np.any(train(keys[0]) != train(keys[1]))


def test_plain_network_is_the_residual_one_without_shortcuts():
    # He et al. 2016, table 2: 18 layers; a plain network has no projections.
    model = models.create("resnet18", num_classes=1000, shortcut="zero")
    table = layer_table(model, (224, 224, 3))
    projections = [64 * 128, 128 * 256, 256 * 512]
    norms = 2 * (128 + 256 + 512)
    assert table.parameters == 11_689_512 - sum(projections) - norms
    assert table.macs == 1_814_073_344 - sum(
        n * size**2 for n, size in zip(projections, (28, 14, 7), strict=True)
    )


def test_resnet_d_layer_by_layer():
    """He et al. 2019, section 4.2. timm's resnet18d has 11.71 million parameters."""
    table = layer_table(models.create("resnet18_d", num_classes=1000), (224, 224, 3))
    # The stem: three convolutions, and a scale and a bias for each channel.
    expected = 9 * 3 * 32 + 9 * 32 * 32 + 9 * 32 * 64 + 2 * (32 + 32 + 64)
    before = 64
    for width in (64, 128, 256, 512):
        expected += 9 * before * width + 3 * 9 * width * width + 4 * 2 * width
        if before != width:
            expected += before * width + 2 * width
        before = width
    expected += 512 * 1000 + 1000
    assert table.parameters == expected == 11_708_744
    rows = {row.name: row for row in table}
    assert rows["stem/conv1"].output_shape == (112, 112, 32)
    assert rows["stem/conv3"].output_shape == (112, 112, 64)
    assert rows["stage1_block1/conv1"].output_shape == (56, 56, 64)
    pools = [name for name in rows if name.endswith("shortcut_pool")]
    assert pools == [f"stage{stage}_block1/shortcut_pool" for stage in (2, 3, 4)]
    assert rows[pools[0]].output_shape == (28, 28, 64)
