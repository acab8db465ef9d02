"""Properties that all models share, and the table of models."""

import dataclasses
import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Cells, Count, Layers
from cnn_jax.models import pixel_heads
from cnn_jax.models.classifier import HEADS, Classifier

DIGITS = (8, 8, 1)
# Those that make images are in `test_enhancement.py`, U-Net in `test_unet.py`.
CLASSIFIERS = [n for n in models.MODELS if models.classifies(n) and n != "unet"]
# Those with a head for pixels and an auxiliary one.
PIXELS = ("fcn_resnet50", "deeplabv3_resnet50")


def tiny(name, num_classes=4, **attributes):
    """A model of the architecture that is small in every respect."""
    small = models.MODELS[name].tiny
    if attributes.get("head", small.get("head")) not in (None, "flatten_fc"):
        small = {k: v for k, v in small.items() if not k.startswith("head_")}
    if "head" in attributes and name in PIXELS:
        small = small | {"auxiliary": False, "head_width": None}
    return models.create(name, num_classes=num_classes, **{**small, **attributes})


# Variants that differ in depth alone have one tiny form: it is tested once.
DISTINCT = list({tiny(name): name for name in reversed(CLASSIFIERS)}.values())[::-1]
CONVOLUTIONAL = [name for name in DISTINCT if "head" in models.attributes(name)]
LARGE = [name for name in CONVOLUTIONAL if "stem" in models.attributes(name)]
# One without batch normalization, one of clips, and the usual one. The others have the
# same head from the same class.
QUICK = ("vgg11", "resnet20", "r3d_18")


def by_tier(names):
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.full) for n in names]


def abstract(model, shape=DIGITS, train=False):
    """Shapes and dtypes of variables, logits and updates, for two images."""

    def apply(key, x):
        variables = model.init(key, x, train=False)
        return variables, model.apply(
            variables, x, train, mutable=["batch_stats"], rngs={"dropout": key}
        )

    variables, (logits, updates) = jax.eval_shape(
        apply, jax.random.key(0), jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    )
    return variables, logits, updates


def initial(model, shape=DIGITS, train=False):
    """Shapes and dtypes of logits and variables, as one call makes both."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return jax.eval_shape(
        lambda x: model.init_with_output(keys, x, train),
        jax.ShapeDtypeStruct((2, *shape), jnp.float32),
    )


def logits_of(name, space=DIGITS[:-1]):
    """The shape of the logits of two images for seven classes."""
    return (2, *space, 7) if models.output_kind(tiny(name)) == "maps" else (2, 7)


def shapes(tree):
    return jax.tree.map(lambda leaf: leaf.shape, tree)


def test_of_each_family_one_is_tested():
    assert set(DISTINCT) - set(CONVOLUTIONAL) == {"mlp"}
    assert set(QUICK) < set(CONVOLUTIONAL)


@pytest.mark.parametrize("train", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", by_tier(DISTINCT))
def test_logits_and_variables_are_float32(name, train):
    variables, logits, updates = abstract(tiny(name, 7, dtype="bfloat16"), train=train)
    assert logits.shape == logits_of(name)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert variables.keys() <= {"params", "batch_stats"}
    assert shapes(updates) == shapes(
        {k: v for k, v in variables.items() if k != "params"}
    )


@functools.cache
def trained(model):
    """(losses before and after a step of gradient descent, gradients, moved or not)."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, *DIGITS)), jnp.float32)
    shape = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    variables = _filled(shape)
    params, stats = variables["params"], variables.get("batch_stats", {})

    @jax.jit
    def step(params):
        def loss_and_stats(params):
            logits, updates = model.apply(
                {"params": params, "batch_stats": stats},
                x,
                True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(1, impl="rbg")},
            )
            log_p = jax.nn.log_softmax(logits)
            return -jnp.mean(jnp.diagonal(log_p)), updates.get("batch_stats", {})

        (loss, new_stats), grads = jax.value_and_grad(loss_and_stats, has_aux=True)(
            params
        )
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(grads)))
        moved = jax.tree.map(lambda p, g: p - 0.02 * g / norm, params, grads)
        return loss, new_stats, grads, moved

    before, new_stats, grads, params = step(params)
    after, *_ = step(params)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, new_stats)
    return float(before), float(after), grads, moved


def _filled(shape):
    """Random kernels, and nothing else that is zero: errors would hide there."""
    rng = np.random.default_rng(0)

    def fill(leaf):
        if leaf.ndim == 1:
            value = rng.uniform(0.3, 0.5, leaf.shape)
        else:
            value = rng.standard_normal(leaf.shape) * np.sqrt(
                2 / np.prod(leaf.shape[:-1])
            )
        return jnp.asarray(value, leaf.dtype)

    return jax.tree.map(fill, shape)


@pytest.mark.parametrize("name", by_tier(DISTINCT))
def test_a_step_lowers_the_loss_and_moves_the_statistics(name):
    before, after, grads, moved = trained(tiny(name))
    assert after < before
    assert all(jax.tree.leaves(moved))
    known = models.attributes(name)
    normalized = "sync_batch_norm" in known and known.get("batch_norm", (bool, True))[1]
    assert bool(moved) == normalized
    flat = jax.tree_util.tree_leaves_with_path(grads)
    # Auxiliary heads have a loss of their own, which is not part of this one.
    own = [(path, leaf) for path, leaf in flat if not path[0].key.startswith("aux")]
    still = [jax.tree_util.keystr(path) for path, leaf in own if not leaf.any()]
    assert not still


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", by_tier(CONVOLUTIONAL))
def test_every_head(name, head, head_shapes):
    outputs, variables = initial(tiny(name, 7, head=head))
    assert shapes(outputs) == head_shapes(head, DIGITS[:-1])
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
    kernels = variables["params"]
    assert ("fc1" in kernels) == (head in ("flatten_fc", "pyramid"))
    assert kernels["head"]["kernel"].shape[-1] == 7


@pytest.mark.parametrize("name", by_tier(CONVOLUTIONAL))
def test_logits_of_every_pixel(name):
    """Whatever size the last map has, that of the input."""
    for shape in [(31, 45, 3), (64, 96, 1)]:
        model = tiny(name, 5, head="fcn", dtype="bfloat16")
        _, logits, _ = abstract(model, shape, train=True)
        assert logits.shape == (2, *shape[:-1], 5) and logits.dtype == jnp.float32


@pytest.mark.parametrize("output_stride", [None, 1])
def test_the_head_of_a_fully_convolutional_network(output_stride):
    """A 1x1 convolution of the last map, and the maps it makes interpolated."""
    model = tiny("resnet20", head="fcn", output_stride=output_stride)
    x = jax.random.normal(jax.random.key(0), (2, 12, 10, 1))
    variables = _filled(
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    )
    maps = models.features(model, variables, x)
    assert maps.shape[1:3] == ((12, 10) if output_stride else (6, 5))
    head = variables["params"]["head"]
    scores = maps @ head["kernel"][0, 0] + head["bias"]
    logits = model.apply(variables, x, False)
    assert logits.shape == (2, 12, 10, 4)
    if output_stride:  # dilation has left nothing to interpolate
        np.testing.assert_allclose(logits, scores, rtol=1e-4, atol=1e-5)
        return
    # Twice as many pixels: each lies a quarter off the middle between two values.
    for axis in (1, 2):
        before, after = (
            jnp.take(scores, np.clip(np.arange(n) + d, 0, n - 1), axis)
            for n in [scores.shape[axis]]
            for d in (-1, 1)
        )
        both = jnp.stack([0.25 * before, 0.25 * after], axis + 1) + 0.75 * (
            jnp.expand_dims(scores, axis + 1)
        )
        shape = list(scores.shape)
        shape[axis] *= 2
        scores = both.reshape(shape)
    np.testing.assert_allclose(logits, scores, rtol=1e-4, atol=1e-5)


def test_the_head_of_an_embedding_network(random_variables):
    """Written out, from the last map."""
    model = tiny("resnet20", head="embedding", head_grid=2, embedding_features=5)
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = random_variables(model, (8, 8, 1))
    maps = models.features(model, variables, x)
    assert maps.shape == (2, 4, 4, 8)
    vectors = maps.reshape(2, 2, 2, 2, 2, 8).mean((2, 4)).reshape(2, -1)
    params = variables["params"]
    norm = variables["batch_stats"]["embedding_norm"]
    assert shapes(params["embedding"]) == {"kernel": (32, 5)}
    assert shapes(params["embedding_norm"]) == {"bias": (5,)}
    embedding = vectors @ params["embedding"]["kernel"] - norm["mean"]
    embedding = embedding / np.sqrt(norm["var"] + 1e-5)
    embedding += params["embedding_norm"]["bias"]
    outputs = model.apply(variables, x, False)
    np.testing.assert_allclose(outputs["embedding"], embedding, rtol=1e-4, atol=1e-5)
    classes = params["head"]["kernel"]
    assert classes.shape == (5, 4)
    expected = cosine_similarity(outputs["embedding"], classes.T)
    np.testing.assert_allclose(outputs["cosine"], expected, rtol=1e-4, atol=1e-6)


def test_the_head_of_class_maps(random_variables):
    """Equations 1 and 2 of Zhou et al. 2016, and the logits of "gap" without a bias."""
    model = tiny("resnet20", head="cam")
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = random_variables(model, (8, 8, 1))
    outputs = model.apply(variables, x, False)
    kernel = variables["params"]["head"]["kernel"]
    assert shapes(variables["params"]["head"]) == {"kernel": (1, 1, 8, 4)}
    maps = models.features(model, variables, x) @ kernel[0, 0]
    np.testing.assert_allclose(outputs["maps"], maps, rtol=1e-4, atol=1e-5)
    head = {"kernel": kernel[0, 0], "bias": np.zeros(4, np.float32)}
    params = variables["params"] | {"head": head}
    logits = tiny("resnet20").apply(variables | {"params": params}, x, False)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "vgg11"])
def test_embeddings_are_normalized_where_nothing_else_is(name):
    model = models.create(name, num_classes=3, head="embedding")
    outputs, variables = initial(model, (32, 32, 1))
    assert outputs["embedding"].shape == (2, 512)
    assert variables["params"]["embedding"].keys() == {"kernel"}
    assert variables["batch_stats"].keys() == {"embedding_norm"}


def test_models_say_whether_they_label_pixels():
    for head in pixel_heads.WIDTHS:
        assert models.output_kind(tiny("resnet20", head=head)) == "maps"
    assert models.output_kind(tiny("deeplabv3_resnet50")) == "maps"
    assert models.output_kind(tiny("resnet20")) == "logits"
    assert models.output_kind(tiny("mlp")) == "logits"


@pytest.mark.parametrize("name", by_tier(CONVOLUTIONAL))
def test_width_and_levels_of_a_head(name):
    model = tiny(name, 7, head="flatten_fc", head_width=(6, 5), head_grid=2)
    params = initial(model)[1]["params"]
    channels = params["fc1"]["kernel"].shape[0]
    assert params["fc1"]["kernel"].shape[1] == 6
    assert shapes(params["fc2"]) == {"kernel": (6, 5), "bias": (5,)}
    cells = 2 ** (3 if "frames" in models.attributes(name) else 2)
    model = tiny(name, 7, head="pyramid", pyramid_levels=(2, 1), head_width=())
    params = initial(model)[1]["params"]
    assert "fc1" not in params
    assert params["head"]["kernel"].shape[0] == channels // cells * (cells + 1)


@pytest.mark.full
@pytest.mark.parametrize("shape", [DIGITS, (28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_small_images(name, shape):
    logits, _ = initial(tiny(name, 7), shape, train=True)
    assert logits.shape == logits_of(name, shape[:-1])


@pytest.fixture(scope="module")
def strided():
    """`strided(name)`: a network for large images, its variables, its last map."""

    @functools.cache
    def make(name):
        # Of a head whose variables do not depend on the size of the map.
        attributes = {"stem": "imagenet", "head": "gap", "output_stride": None}
        if re.match("(preact|wide_|fcn_)?resne|deeplab", name):
            attributes["stage_sizes"] = (1, 1, 1, 1)
        if name == "densenet121":
            attributes["block_sizes"] = (1, 1, 1, 1)
        model = tiny(name, **attributes)
        variables = jax.eval_shape(
            lambda x: model.init(jax.random.key(0), x, train=False), LARGE_IMAGE
        )
        return model, variables, last_map(model, variables)

    return make


LARGE_IMAGE = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)


def last_map(model, variables):
    features = functools.partial(models.features, model)
    return jax.eval_shape(features, variables, LARGE_IMAGE).shape


@pytest.mark.full
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", LARGE)
def test_output_stride(name, output_stride, strided):
    """The map of a network for large images, with the same variables; that its values
    are right is tested family by family."""
    model, variables, expected = strided(name)
    sizes = [s if isinstance(s, int) else s[-1] for s in model.subsampling]
    natural = int(np.prod(sizes))
    if output_stride > natural or output_stride < max(sizes):
        with pytest.raises(UserError, match=f"stride is {natural}"):
            model.clone(output_stride=output_stride)
        return
    shape = last_map(model.clone(output_stride=output_stride), variables)
    assert shape[-1] == expected[-1]
    ratio = natural // output_stride
    for ours, theirs in zip(shape[-3:-1], expected[-3:-1], strict=True):
        assert -(-ours // ratio) == theirs


# Another value of each attribute that is a family's own, and what it needs beside it.
CHANGES = {
    "lenet5": {"padding": (1, 2), "pool": "max"},
    "alexnet": {
        "channels": (32, 32, 48, 32, 32),
        "groups": 2,
        "local_response_norm": True,
        "padding": {"stem": "imagenet", "padding": 2},
        "stem": "imagenet",
        "width_multiplier": 1 / 8,
    },
    "vgg11_bn": {
        "stage_sizes": (1, 1, 1, 1, 2),
        "width": 5,
        "batch_norm": False,
        "stem": "imagenet",
    },
    "nin": {"width_multiplier": 1 / 8},
    "googlenet": {
        "auxiliary": False,
        "auxiliary_dropout": 0.1,
        "stem": "imagenet",
        "width_multiplier": 1 / 8,
    },
    "inception_v3": {
        "auxiliary": False,
        "stem": "imagenet",
        "width_multiplier": 1 / 8,
    },
    "squeezenet1_0": {
        "stem_channels": 16,
        "stem_kernel": {"stem": "imagenet", "stem_kernel": 5},
        "pool_after": (1, 3, 5),
        "stem": "imagenet",
        "width_multiplier": 1 / 4,
    },
    "densenet121": {
        "growth_rate": 5,
        "init_features": 9,
        "block_sizes": (1, 1),
        "bottleneck": 2,
        "compression": 0.7,
        "stem": "imagenet",
    },
    "mobilenet_v2": {"stem": "imagenet", "width_multiplier": 1 / 4},
    "flattenednet": {"flattened": (), "cascade": 1, "width_multiplier": 1 / 4},
    "drn_c_26": {"stage_sizes": (2,) + (1,) * 7, "width": 5, "stem": "imagenet"},
    "c3d": {"width": 5, "stem": "imagenet", "frames": 4},
    "r3d_18": {
        "width": 5,
        "stem": "imagenet",
        "frames": 4,
        "stage_sizes": (1, 1, 1, 2),
        "stage_convs": ("3d", "3d", "3d", "2d"),
    },
    "plain": {
        "widths": (4, 5),
        "depth": 3,
        "layer": "separable",
        "kernel_size": 5,
        "dilations": (1, 2, 1, 1),
        "subsample": "strided",
        "shared": True,
        "reduction": {"layer": "bottleneck", "reduction": 0.5},
        "branches": {"layer": "inception", "branches": ("3x3", "pool")},
        "filters": ("sobel_vertical",),
        "random_filters": 2,
        "learn_filters": {"filters": ("gaussian",), "learn_filters": True},
    },
    "preactresnet": {
        "stage_sizes": (2, 1),
        "block": "bottleneck",
        "width": 8,
        "stem": "imagenet",
        "shortcut": "identity",
        "groups": {"block": "bottleneck", "groups": 2},
        "width_per_group": {"block": "bottleneck", "width_per_group": 32},
        "zero_init_residual": True,
        "stochastic_depth": 0.5,
        "auxiliary": {"head": "fcn", "auxiliary": True},
        "auxiliary_dropout": {"head": "fcn", "auxiliary": True}
        | {"auxiliary_dropout": 0.5},
    },
}


def program(model):
    """Returns the text of the program that initializes and trains the model."""

    def apply(key, x):
        variables = model.init(key, x, train=False)
        return model.apply(
            variables,
            x,
            True,
            mutable=["batch_stats", "auxiliary"],
            rngs={"dropout": key},
        )

    x = jax.ShapeDtypeStruct((2, 96, 96, 1), jnp.float32)
    return str(jax.make_jaxpr(apply)(jax.random.key(0), x))


@pytest.mark.full
@pytest.mark.parametrize("name", CHANGES)
def test_every_attribute_of_a_family_changes_the_network(name):
    shared = {field.name for field in dataclasses.fields(Classifier)}
    own = models.attributes(name).keys() - shared - {"sync_batch_norm"}
    assert CHANGES[name].keys() == own
    before = functools.cache(lambda **attributes: program(tiny(name, **attributes)))
    for key, value in CHANGES[name].items():
        change = value if isinstance(value, dict) else {key: value}
        needed = {other: value for other, value in change.items() if other != key}
        assert program(tiny(name, **change)) != before(**needed), key


@pytest.mark.parametrize("name", models.MODELS)
def test_attributes_are_plain_and_are_the_defaults(name):
    known = models.attributes(name)
    assert not {"name", "parent", "num_classes"} & known.keys()
    defaults = {key: default for key, (_, default) in known.items()}
    json.dumps(defaults)
    classes = {"num_classes": 3} if name in CLASSIFIERS else {}
    assert models.create(name, **classes, **defaults) == models.create(name, **classes)


def test_attributes_of_a_variant():
    assert models.attributes("mlp") == {
        "hidden": (tuple[Count, ...], (100,)),
        "activation": (str, "relu"),
        "norm": (str | None, None),
        "norm_groups": (Count | None, None),
        "dtype": (str | None, None),
    }
    known = models.attributes("resnext50_32x4d")
    assert known["groups"] == (Count, 32)
    assert known["stage_sizes"] == (tuple[Layers, ...], (3, 4, 6, 3))
    assert known["output_stride"] == (Cells | None, None)


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", jnp.bfloat16])
def test_computes_in_dtype(dtype):
    model = models.create("lenet5", num_classes=3, dtype=dtype, padding=(2, 2))
    _, state = jax.eval_shape(
        lambda x: model.init_with_output(
            jax.random.key(0),
            x,
            False,
            capture_intermediates=True,
            mutable=["params", "intermediates"],
        ),
        jax.ShapeDtypeStruct((1, *DIGITS), jnp.float32),
    )
    (first,) = state["intermediates"]["conv1"]["__call__"]
    assert first.dtype == jnp.dtype(dtype or "float32")


@pytest.mark.parametrize("name", ["resnet20", "vgg11_bn", "alexnet_grouped"])
def test_evaluation_sees_each_example_by_itself(name):
    model = tiny(name)
    x = jax.random.normal(jax.random.key(0), (3, *DIGITS))
    variables = _filled(
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    )
    evaluate = jax.jit(lambda x: model.apply(variables, x, False))
    others_changed = x.at[1:].set(0)
    np.testing.assert_allclose(evaluate(x)[0], evaluate(others_changed)[0], rtol=1e-5)


def test_classes_are_the_published_ones_unless_told_otherwise():
    assert models.create("alexnet").num_classes == 1000
    assert models.create("resnet20").num_classes == 10
    assert models.create("c3d").num_classes == 487


def test_unknown_names():
    with pytest.raises(
        UserError,
        match=r"model 'resnetl8'\. Did you mean 'resnet18'\? Known: airbench93, airbe",
    ):
        models.create("resnetl8", num_classes=10)
    with pytest.raises(UserError, match="unknown model 'vit'"):
        models.attributes("vit")
    with pytest.raises(UserError, match=r"of resnet20 'widht'\. Did you mean 'width'"):
        models.create("resnet20", num_classes=10, widht=8)
    with pytest.raises(UserError, match=r"dtype 'bfloat'\. Did you mean 'bfloat16'"):
        models.create("resnet20", num_classes=10, dtype="bfloat")


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("resnet20", {"block": "basics"}, "block 'basics'. Did you mean 'basic'"),
        ("resnet20", {"stem": "cifar"}, "stem 'cifar'.*imagenet, small"),
        ("resnet20", {"shortcut": "A"}, "shortcut 'A'.*identity, projection"),
        ("resnet20", {"groups": 2}, "block='bottleneck'"),
        ("resnet20", {"output_stride": 8}, "set one of 1, 2, 4 .* stride is 4"),
        ("resnet50", {"output_stride": 3}, "set one of 1, 2, 4, 8, 16, 32"),
        (
            "resnet20",
            {"head": "fc"},
            "head 'fc'.*fcn, flatten_fc, gap, gmp, large_context, py",
        ),
        ("resnet20", {"head_width": (9,)}, "belongs to head=flatten_fc or pyramid"),
        ("resnet20", {"aspp_rates": (2,)}, "belongs to head=deeplab, not to head=gap"),
        ("resnet20", {"head": "deeplab", "head_width": ()}, "head=deeplab needs at le"),
        ("resnet20", {"auxiliary": True}, "head=fcn or deeplab or context or large_c"),
        ("fcn_resnet50", {"auxiliary_dropout": 1.0}, "auxiliary_dropout=1.0 must be"),
        (
            "fcn_resnet50",
            {"stage_sizes": (1,), "output_stride": 4},
            "auxiliary=True needs at least two entries",
        ),
        ("vgg11", {"pyramid_levels": (2,)}, "belongs to head=pyramid, not to"),
        ("resnet20", {"head_grid": 2}, "belongs to head=flatten_fc or embedding"),
        ("vgg11", {"embedding_features": 8}, "belongs to head=embedding, not to"),
        ("vgg11", {"head_width": (0,)}, r"head_width=\(0,\) must be at least 1"),
        ("resnet18", {"stage_sizes": ()}, r"stage_sizes=\(\) needs at least one"),
        ("resnet18", {"stage_sizes": (0, 1)}, "must be at least 1"),
        ("preactresnet50", {"groups": 0}, "groups=0 must be at least 1"),
        ("resnet50", {"width": -8, "width_per_group": -64}, "must be at least 1"),
        ("alexnet", {"padding": -1}, "padding=-1 must be at least 0"),
        ("alexnet", {"channels": (-5, 0, 8, 8, 8)}, "must be at least 1"),
        ("lenet5", {"padding": (-1, 0)}, "must be at least 0"),
        ("vgg11", {"head": "pyramid", "pyramid_levels": ()}, "needs at least one"),
        ("nin", {"width_multiplier": float("inf")}, "must be above 0 and finite"),
        ("nin", {"width_multiplier": float("nan")}, "must be above 0 and finite"),
        ("nin", {"width_multiplier": 0.0}, "must be above 0"),
        ("googlenet", {"auxiliary_dropout": 1.0}, "auxiliary_dropout=1.0 must be"),
        ("drn_c_26", {"stage_sizes": (1, 1)}, "needs eight entries"),
        ("r3d_18", {"frames": 0}, "frames=0 must be at least 1"),
        ("squeezenet1_0", {"pool_after": (1, 99)}, "only numbers from 1 to 9"),
        ("squeezenet1_0", {"stem": "cifar"}, "stem 'cifar'.*imagenet, small"),
        ("vgg11", {"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ("resnext50_32x4d", {"width": 8}, "must be at least 64"),
        ("mlp", {"activation": "rellu"}, "activation 'rellu'. Did you mean 'relu'"),
        ("lenet5", {"activation": "sin"}, "unknown activation 'sin'"),
        ("lenet5", {"pool": "mean"}, "pool 'mean'.*Known: avg, max"),
        ("lenet5", {"padding": (2,)}, "needs two entries"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, num_classes=10, **attributes)


def test_image_too_small_for_lenet():
    model = models.create("lenet5", num_classes=10)
    with pytest.raises(UserError, match="conv2: a kernel that spans 5"):
        model.init(jax.random.key(0), jnp.zeros((1, *DIGITS)), train=False)


def test_the_last_map():
    """Global average pooling and the last layer on it give the logits."""
    model = tiny("resnet20")
    x = jax.random.normal(jax.random.key(0), (2, *DIGITS))
    variables = _filled(
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    )
    maps = models.features(model, variables, x)
    head = variables["params"]["head"]
    logits = maps.mean((1, 2)) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(logits, model.apply(variables, x, False), rtol=1e-5)
    assert isinstance(model, Classifier)
