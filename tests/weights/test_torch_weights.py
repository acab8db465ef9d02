"""State dicts as they come, and what is refused."""

import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.weights import torch_names
from cnn_jax.weights.torch_weights import entries_of, from_torch, to_torch

SMALL = {"width": 2, "stage_sizes": (1, 1)}


def random_state(name, num_classes=5, input_shape=None, **attributes):
    """A state dict of a network of any size, and the network."""
    model = models.create(name, num_classes=num_classes, **attributes)
    rng = np.random.default_rng(0)
    entries = entries_of(name, model, input_shape)
    state = {
        entry.name: rng.standard_normal(entry.torch_shape).astype(np.float32)
        for entry in entries
    }
    for key in [key for key in state if key.endswith(".running_mean")]:
        count = key.replace("running_mean", "num_batches_tracked")
        state[count] = np.asarray(rng.integers(2**40), np.int64)
    return state, model


@pytest.fixture
def resnet():
    return random_state("resnet18", **SMALL)[0]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape
        assert ours[name].tobytes() == value.tobytes(), name


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_layouts(resnet):
    params = from_torch("resnet18", resnet, **SMALL)["params"]
    kernel = params["stage2_block1"]["conv1"]["kernel"]
    theirs = resnet["layer2.0.conv1.weight"]
    assert theirs.shape == (4, 2, 3, 3) and kernel.shape == (3, 3, 2, 4)
    assert kernel[2, 1, 0, 3] == theirs[3, 0, 2, 1]
    assert params["head"]["kernel"][3, 4] == resnet["fc.weight"][4, 3]


def test_rows_behind_a_flattened_map():
    """Rows in the order (channel, row, column) become (row, column, channel)."""
    small = {"head_width": (3,), "width": 4, "stage_sizes": (1, 1), "head_grid": 2}
    state, _ = random_state("vgg11", **small)
    variables = from_torch("vgg11", state, **small)
    kernel = variables["params"]["fc1"]["kernel"]
    theirs = state["classifier.0.weight"].reshape(3, 8, 2, 2)
    np.testing.assert_array_equal(
        kernel.reshape(2, 2, 8, 3), theirs.transpose(2, 3, 1, 0)
    )
    # The second fully connected layer sees no map.
    np.testing.assert_array_equal(
        variables["params"]["head"]["kernel"], state["classifier.6.weight"].T
    )
    assert_same(to_torch("vgg11", variables, **small), state)


def test_rows_of_a_map_that_is_not_square():
    model = models.create("vgg11", num_classes=2, width=1, head_width=(3,), head_grid=7)
    (entry,) = (
        e for e in entries_of("vgg11", model) if e.path[1:] == ("fc1", "kernel")
    )
    assert entry.rows == (7, 7, 8)
    wide = models.create("alexnet_owt", num_classes=2, head="pyramid")
    entries = entries_of("alexnet_owt", wide)
    assert all(entry.rows is None for entry in entries)


def test_the_network_ignores_the_counts(resnet):
    variables = from_torch("resnet18", resnet, **SMALL)
    counts = variables["num_batches_tracked"]
    key = "layer1.0.bn2.num_batches_tracked"
    assert counts["stage1_block1"]["norm2"]["count"] == resnet[key]
    model = models.create("resnet18", num_classes=5, **SMALL)
    x = jnp.ones((1, 8, 8, 3))
    without = {k: v for k, v in variables.items() if k != "num_batches_tracked"}
    np.testing.assert_array_equal(
        model.apply(variables, x, False), model.apply(without, x, False)
    )
    assert_same(to_torch("resnet18", variables, **SMALL), resnet)
    zero = to_torch("resnet18", without, **SMALL)
    assert zero[key].dtype == np.int64 and zero[key].shape == () and zero[key] == 0


def test_an_old_file_has_no_counts(resnet):
    old = {k: v for k, v in resnet.items() if "num_batches_tracked" not in k}
    variables = from_torch("resnet18", old, **SMALL)
    assert variables.keys() == {"params", "batch_stats"}


@pytest.mark.parametrize("wrapped", ["state_dict", "model", "module.", "both"])
def test_wrapped_state_dicts(wrapped, resnet):
    state = resnet
    if wrapped in ("module.", "both"):
        state = {f"module.{key}": value for key, value in state.items()}
    if wrapped != "module.":
        key = wrapped if wrapped != "both" else "state_dict"
        state = {key: state, "epoch": 90, "optimizer": {"lr": 0.1}}
    expected = from_torch("resnet18", resnet, **SMALL)
    assert_equal(from_torch("resnet18", state, **SMALL), expected)


def test_names_of_old_densenets():
    small = {"growth_rate": 2, "init_features": 4, "block_sizes": (1, 2)}
    state, _ = random_state("densenet121", **small)
    old = {
        re.sub(r"(denselayer\d\.(?:norm|conv))(\d)", r"\1.\2", key): value
        for key, value in state.items()
    }
    assert "features.denseblock2.denselayer2.norm.1.weight" in old
    variables = from_torch("densenet121", old, **small)
    # Counts had no dot.
    assert_same(to_torch("densenet121", variables, **small), state)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_types_become_float32(dtype, resnet):
    state = {k: v.astype(dtype) if v.ndim else v for k, v in resnet.items()}
    variables = from_torch("resnet18", state, **SMALL)
    kernel = variables["params"]["head"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, state["fc.weight"].T.astype(np.float32))


@pytest.mark.full
def test_auxiliary_heads_are_those_of_the_file():
    small = {"width_multiplier": 0.05}
    state, _ = random_state("googlenet_bn", **small)
    variables = from_torch("googlenet_bn", state, **small)
    assert {"aux1", "aux2"} <= variables["params"].keys()
    assert_same(to_torch("googlenet_bn", variables, **small), state)
    bare = {key: value for key, value in state.items() if not key.startswith("aux")}
    variables = from_torch("googlenet_bn", bare, **small)
    assert not {"aux1", "aux2"} & variables["params"].keys()
    assert_same(to_torch("googlenet_bn", variables, **small), bare)


def test_another_stem_has_the_same_names(resnet):
    small = SMALL | {"stem": "small"}
    other, _ = random_state("resnet18", **small)
    assert other.keys() == resnet.keys()
    variables = from_torch("resnet18", other, **small)
    assert variables["params"]["stem"]["conv"]["kernel"].shape == (3, 3, 3, 2)
    assert_same(to_torch("resnet18", variables, **small), other)


def test_images_of_any_number_of_channels():
    state, _ = random_state("resnet18", input_shape=(32, 32, 1), **SMALL)
    assert state["conv1.weight"].shape == (2, 1, 7, 7)
    variables = from_torch("resnet18", state, **SMALL)
    assert_same(to_torch("resnet18", variables, **SMALL), state)


def test_trained_variables():
    """JAX arrays without batch counts survive a conversion there and back."""
    state, _ = random_state("mobilenet_v2", width_multiplier=0.1)
    variables = from_torch("mobilenet_v2", state, width_multiplier=0.1)
    variables.pop("num_batches_tracked")
    state = to_torch("mobilenet_v2", variables, width_multiplier=0.1)
    assert all(type(value) is np.ndarray for value in state.values())
    again = from_torch("mobilenet_v2", state, width_multiplier=0.1)
    again.pop("num_batches_tracked")
    assert_equal(again, jax.tree.map(np.asarray, variables))


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda s: s.pop("layer1.0.conv2.weight"),
            ["layer1.0.conv2.weight (2, 2, 3, 3) is missing"],
        ),
        (
            lambda s: [s.pop(k) for k in [*s] if k.startswith("layer2.0.bn")],
            ["layer2.0.bn1.weight (4,) (and 7 more) is missing"],
        ),
        (
            lambda s: s.update({"layer3.0.conv1.weight": np.zeros((8, 4, 3, 3))}),
            ["layer3.0.conv1.weight (8, 4, 3, 3) is not in the network"],
        ),
        (
            lambda s: s.update({"conv1.weight": np.zeros((2, 3, 3, 3), np.float32)}),
            ["conv1.weight has the shape (2, 3, 3, 3) and not (2, 3, 7, 7)"],
        ),
        (
            lambda s: s.update({"fc.weight": s["fc.weight"].astype(np.int8)}),
            ["fc.weight", "int8", "quantized"],
        ),
        (lambda s: s.clear(), ["conv1.weight (2, 3, 7, 7) (and ", "is missing"]),
        (lambda s: s.pop("fc.weight"), ["fc.weight (1000, 4) is missing"]),
    ],
)
def test_refused(change, parts, resnet):
    change(resnet)
    with pytest.raises(UserError) as error:
        from_torch("resnet18", resnet, **SMALL)
    for part in parts:
        assert part in str(error.value)


def test_networks_that_torchvision_has_not():
    for name in ("lenet5", "resnet20", "alexnet"):
        for function in (from_torch, to_torch):
            with pytest.raises(UserError, match=f"no counterpart of '{name}'") as error:
                function(name, {"params": {}})
            assert all(known in str(error.value) for known in torch_names.FAMILIES)
    with pytest.raises(UserError, match="no counterpart"):
        from_torch("resnet999", {})


def test_layers_that_torchvision_has_not():
    model = models.create("resnet18", num_classes=3, head="flatten_fc", **SMALL)
    with pytest.raises(UserError, match="no layer like fc1"):
        entries_of("resnet18", model, (32, 32, 3))


def test_variables_of_another_network(resnet):
    variables = from_torch("resnet18", resnet, **SMALL)
    with pytest.raises(UserError, match="stem/conv/kernel has the shape"):
        to_torch("resnet18", variables)
    with pytest.raises(UserError, match="unknown attribute of resnet18 'widht'"):
        to_torch("resnet18", variables, widht=2)
