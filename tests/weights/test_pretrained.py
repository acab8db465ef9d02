"""Which part of others' weights a network takes, and what it says of the rest."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cnn_jax import models
from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.weights import pretrained, torch_weights, weight_files
from cnn_jax.weights.torch_weights import entries_of
from cnn_jax.weights.weight_files import Weights


def state_of(model, name, input_shape=None):
    rng = np.random.default_rng(0)
    return {
        e.name: (0.1 * rng.standard_normal(e.torch_shape)).astype(np.float32)
        for e in entries_of(name, model, input_shape)
    }


# ------------------------------------------------------------------- our own variables

SHAPE = (8, 8, 1)


def plain(classes=3, **attributes):
    return models.create("plain", num_classes=classes, widths=(2, 4), **attributes)


def weights_of(model, name="plain", **facts):
    """Returns random weights in the form of a run's weights."""
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32),
    )
    rng = np.random.default_rng(1)
    return Weights(
        {
            "/".join(path): rng.standard_normal(leaf.shape, np.float32)
            for path, leaf in flatten_dict(variables).items()
        },
        {"model": name, **facts},
    )


def fit(weights, model, name="plain", classes=None):
    return pretrained.fit(weights, "the file", name, model, SHAPE, classes)


def test_all_of_a_networks_own_weights():
    weights = weights_of(plain(), classes=["a", "b", "c"])
    loaded = fit(weights, plain(), classes=["a", "b", "c"])
    found = flatten_dict(loaded.variables, sep="/")
    assert found.keys() == weights.arrays.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, weights.arrays[key])
    count = sum(v.size for k, v in found.items() if k.startswith("params"))
    assert loaded.report == (
        f"{len(found)} of {len(found)} entries ({count:,} parameters) start from the "
        "file"
    )


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["a", "b", "c", "d"], "head: 3 classes in the file, 4 here"),
        (["b", "a", "c"], "head: the file's classes are not the network's"),
    ],
)
def test_a_head_of_other_classes_is_left_out(classes, words):
    weights = weights_of(plain(), classes=["a", "b", "c"])
    loaded = fit(weights, plain(len(classes)), classes=classes)
    assert loaded.report.endswith(f"; left out: {words}")
    kept = flatten_dict(loaded.variables, sep="/").keys()
    assert kept == {k for k in weights.arrays if "/head/" not in k}


def test_classes_that_nobody_knows_are_taken_for_the_same():
    loaded = fit(weights_of(plain()), plain(), classes=["a", "b", "c"])
    assert "left out" not in loaded.report


def test_weights_without_a_head():
    weights = weights_of(plain())
    for key in [key for key in weights.arrays if "/head/" in key]:
        del weights.arrays[key]
    loaded = fit(weights, plain())
    assert loaded.report.endswith("left out: the head, which is not in the file")


@pytest.mark.parametrize("head", ["pyramid", "fcn", "embedding", "deeplab"])
def test_another_head_is_left_out(head):
    loaded = fit(weights_of(plain()), plain(head=head))
    assert f"the head, which is head={head} here" in loaded.report
    assert {key.rpartition("_")[0] for key in loaded.variables["params"]} == {
        "stage1",
        "stage2",
    }


def test_another_type_becomes_float32():
    weights = weights_of(plain())
    half = {key: value.astype(np.float16) for key, value in weights.arrays.items()}
    loaded = fit(Weights(half, weights.facts), plain())
    for key, value in flatten_dict(loaded.variables, sep="/").items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, half[key])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda a: a.update({"params/x/kernel": np.zeros(2)}),
            r"x/kernel .*not in the network",
        ),
        (
            lambda a: a.pop("params/stage1_layer1/conv/kernel"),
            r"stage1_layer1/conv/kernel .* is missing",
        ),
        (
            lambda a: a.update({"params/stage1_layer1/conv/kernel": np.zeros((3, 3))}),
            r"stage1_layer1/conv/kernel has the shape \(3, 3\) and not \(3, 3, 1, 2\)",
        ),
        (
            lambda a: a.update(
                {
                    "params/stage1_layer1/conv/kernel": a[
                        "params/stage1_layer1/conv/kernel"
                    ].astype(np.int8)
                }
            ),
            "int8",
        ),
    ],
)
def test_weights_that_do_not_fit(change, words):
    weights = weights_of(plain())
    assert "params/stage1_layer1/conv/kernel" in weights.arrays
    change(weights.arrays)
    with pytest.raises(UserError, match=f"^the file: .*{words}"):
        fit(weights, plain())


def test_weights_of_another_network_are_named():
    weights = weights_of(plain(), name="resnet20")
    del weights.arrays["params/stage1_layer1/conv/kernel"]
    with pytest.raises(UserError, match="not belong to plain, but to resnet20"):
        fit(weights, plain())


@pytest.mark.parametrize(("norm", "own"), [("group", "instance"), ("batch", "none")])
def test_weights_of_another_normalization(norm, own):
    """Group and instance normalization have parameters of the same names."""
    weights = weights_of(plain(norm=norm), norm=norm)
    assert fit(weights, plain(norm=norm)).variables
    with pytest.raises(
        UserError,
        match=f"^the file: .* norm={norm}, but this network has norm={own}: set config",
    ):
        fit(weights, plain(norm=own))


def test_torchvisions_weights_belong_to_its_normalization():
    attributes = {"num_classes": 3, "width": 2, "stage_sizes": (1, 1)}
    state = state_of(models.create("resnet18", **attributes), "resnet18", (32, 32, 3))
    for norm, words in (("group", "bn1.running_mean .*not in"), ("none", "conv1.bias")):
        model = models.create("resnet18", **attributes, norm=norm)
        with pytest.raises(UserError, match=f"the weights do not belong to .*{words}"):
            pretrained.fit(Weights(state), "a", "resnet18", model, (32, 32, 3))


def test_nothing_of_the_weights_fits():
    """No entry fits, because neither network has a layer before its head."""
    line = models.create("mlp", num_classes=3, hidden=())
    weights = weights_of(line, "mlp")
    with pytest.raises(
        UserError, match=r"no entry fits mlp. Left out: head: 3 classes"
    ):
        fit(weights, models.create("mlp", num_classes=4, hidden=()), "mlp")


def test_our_weights_of_a_backbone():
    weights = weights_of(plain())
    model = models.create("unet:plain", num_classes=5, widths=(2, 4))
    loaded = fit(weights, model, "unet:plain")
    found = flatten_dict(loaded.variables, sep="/")
    expected = {
        key.replace("/", "/backbone/", 1): value
        for key, value in weights.arrays.items()
        if "/head/" not in key
    }
    assert found.keys() == expected.keys() != set()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    assert "the backbone plain, without its head" in loaded.report


class Theirs(nn.Module):
    """A network of a user."""

    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(4, name="body")(x.reshape(len(x), -1))
        return nn.Dense(self.num_classes, name="head")(x)


def test_weights_of_a_users_network(tmp_path):
    (tmp_path / "their_nets.py").write_text(f"from {__name__} import Theirs")
    imports.add(tmp_path)
    name = "their_nets.Theirs"
    weights = weights_of(Theirs(3), name)
    assert "left out" not in fit(weights, Theirs(3), name).report
    loaded = fit(weights, Theirs(2), name)
    assert loaded.report.endswith("left out: head: 3 classes in the file, 2 here")
    assert loaded.variables["params"].keys() == {"body"}


def test_the_head_that_an_architecture_has():
    small = {"width": 4, "head_width": (6, 5), "head_grid": 2}
    vgg = models.create("vgg11", num_classes=3, **small)
    own = pretrained.with_own_head("vgg11", vgg)
    assert (own.head, own.head_width, own.head_grid) == ("flatten_fc", None, None)
    assert (own.width, own.num_classes) == (4, 3)
    resnet = models.create(
        "resnet18", num_classes=3, head="fcn", auxiliary=True, stage_sizes=(1, 1)
    )
    own = pretrained.with_own_head("resnet18", resnet)
    assert (own.head, own.auxiliary, own.stage_sizes) == ("gap", False, (1, 1))
    assert pretrained.with_own_head("resnet18", own) == own


# ------------------------------------------------------------------ torchvision's files


@pytest.mark.parametrize(
    ("name", "own", "other"),
    [
        ("resnet18", {"width": 8, "stage_sizes": (1, 1)}, {"head": "pyramid"}),
        ("vgg11", {"width": 4, "head_width": (8,), "head_grid": 2}, {"head": "gap"}),
        (
            "resnet34",
            {"width": 8, "stage_sizes": (1, 1)},
            {"head": "embedding", "embedding_features": 6},
        ),
    ],
)
def test_a_network_with_another_head_takes_the_rest(name, own, other, tmp_path):
    shape = (32, 32, 3)
    trunk = {key: value for key, value in own.items() if not key.startswith("head_")}
    path = tmp_path / "weights.safetensors"
    published = models.create(name, num_classes=4, **trunk)
    state = state_of(published, name, shape)
    safetensors.numpy.save_file(state, path)
    layers = {e.path[1] for e in entries_of(name, published, shape)}
    for changed in (own, trunk | other):
        model = models.create(name, num_classes=4, **changed)
        loaded = pretrained.load(path, name, model, shape)
        here = loaded.variables["params"].keys()
        if model.head_width or model.head != published.head:
            assert f"the head, which is head={model.head} here" in loaded.report
            assert here == layers - {"head", "fc1", "fc2"}
        else:
            assert "left out" not in loaded.report and here == layers
    # A head that is in the file is taken.
    same = models.create(name, num_classes=4, **own)
    safetensors.numpy.save_file(state_of(same, name, shape), path)
    assert "left out" not in pretrained.load(path, name, same, shape).report


@pytest.mark.full
def test_auxiliary_heads_may_be_left_out(tmp_path):
    small = {"width_multiplier": 0.05}
    shape = (64, 64, 3)
    whole = models.create("googlenet_bn", num_classes=3, **small)
    bare = models.create("googlenet_bn", num_classes=3, auxiliary=False, **small)
    other = models.create("googlenet_bn", num_classes=4, **small)
    path = tmp_path / "g.safetensors"
    for ours, theirs, missing, words in [
        (whole, whole, set(), ""),
        (whole, bare, {"aux1", "aux2"}, "aux1, aux2: not in the file"),
        (bare, whole, set(), "aux1, aux2: not in the network"),
        (
            whole,
            other,
            {"head", "aux1", "aux2"},
            "head, aux1, aux2: 4 classes in the file, 3 here",
        ),
    ]:
        safetensors.numpy.save_file(state_of(theirs, "googlenet_bn"), path)
        loaded = pretrained.load(path, "googlenet_bn", ours, shape)
        expected = {"conv1", "head"} | ({"aux1", "aux2"} if ours.auxiliary else set())
        assert expected - loaded.variables["params"].keys() == missing
        assert words in loaded.report and ("left out" in loaded.report) == bool(words)


@pytest.mark.full
def test_segmentation_starts_from_classification(tmp_path):
    """torchvision's networks, and its weights for any head for pixels."""
    small = {"width": 2, "stage_sizes": (1, 1), "stem": "small", "output_stride": 1}
    shape, path = (16, 16, 3), tmp_path / "r.safetensors"
    width = {"head_width": (4, 4)}
    own = models.create("resnet50", num_classes=9, **small)
    state = state_of(own, "resnet50")
    deeplab = models.create("deeplabv3_resnet50", num_classes=3, **small, **width)
    bare = deeplab.clone(auxiliary=False, num_classes=4)
    for theirs, name, ours, missing in [
        (state, "deeplabv3_resnet50", deeplab, {"aspp", "head_conv1", "head", "aux"}),
        (state, "deeplabv3_resnet50", bare, {"aspp", "head_conv1", "head"}),
        (state, "resnet50", deeplab, {"aspp", "head_conv1", "head", "aux"}),
        (
            state_of(bare, "deeplabv3_resnet50"),
            "deeplabv3_resnet50",
            deeplab,
            {"head", "aux"},
        ),
    ]:
        safetensors.numpy.save_file(theirs, path)
        variables = pretrained.load(path, name, ours, shape).variables
        shapes = jax.eval_shape(
            lambda x, m=ours: m.init(jax.random.key(0), x, False)["params"],
            jax.ShapeDtypeStruct((1, *shape), np.float32),
        )
        assert shapes.keys() - variables["params"].keys() == missing
        kernel = variables["params"]["stage2_block1"]["conv1"]["kernel"]
        (expected,) = (v for k, v in theirs.items() if "layer2.0.conv1" in k)
        np.testing.assert_array_equal(kernel[0, 0].T, expected[..., 0, 0])


def test_torchvisions_weights_of_a_backbone():
    size = (64, 64, 3)
    entries = torch_weights.entries_of(
        "squeezenet1_1", models.create("squeezenet1_1"), size
    )
    arrays = {e.name: np.zeros(e.torch_shape, np.float32) for e in entries}
    model = models.create("fcos:squeezenet1_1", num_classes=3, strides=(8, 16))
    weights = Weights(arrays, None)
    loaded = pretrained.fit(weights, "x", "fcos:squeezenet1_1", model, size)
    found = flatten_dict(loaded.variables)
    inside = [e for e in entries if e.path[1] != "head"]
    assert found.keys() == {(e.path[0], "backbone", *e.path[1:]) for e in inside}
    del arrays[inside[0].name]
    with pytest.raises(UserError, match=inside[0].name):
        pretrained.fit(weights, "x", "fcos:squeezenet1_1", model, size)


def test_a_detector_of_other_classes():
    """The last layer keeps its initial values; all other layers are loaded."""
    name, size = "fcos:resnet20", (32, 32, 1)

    def detector(classes):
        return models.create(name, num_classes=classes, width=8, strides=(4,))

    images = jnp.zeros((1, *size))
    variables = jax.eval_shape(
        lambda: detector(3).init(jax.random.key(0), images, train=False)
    )
    arrays = {
        "/".join(path): np.zeros(leaf.shape, np.float32)
        for path, leaf in flatten_dict(variables).items()
    }
    facts = {"model": name, "classes": ["a", "b", "c"]}
    weights = Weights(arrays, facts=facts)
    for classes, words in (
        ("abc", None),
        ("ab", "head: 3 classes in the file, 2 here"),
        ("abd", "head: the file's classes are not the network's"),
    ):
        model = detector(len(classes))
        found = pretrained.fit(weights, "x", name, model, size, list(classes))
        kept = flatten_dict(found.variables)
        last = {path for path in kept if path[1:3] == ("classification", "logits")}
        assert len(kept) == len(arrays) - (2 if words else 0)
        assert bool(last) == (words is None)
        assert (words or "") in found.report and "not in the file" not in found.report


# --------------------------------------------------------------------------- convert


def test_converting_twice_is_refused(tmp_path):
    folder = tmp_path / "weights"
    variables = {"params": {"a": np.zeros(3, np.float32)}}
    weight_files.write_folder(folder, variables, {"model": "x"}, overwrite=False)
    with pytest.raises(UserError, match="already holds weights in the format"):
        pretrained.convert("resnet18", folder, tmp_path / "out", overwrite=False)
    with pytest.raises(UserError, match="no counterpart of 'lenet5'"):
        pretrained.convert("lenet5", tmp_path, tmp_path / "out", overwrite=False)
    assert not (tmp_path / "out").exists()
