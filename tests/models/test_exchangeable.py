"""Every network with another activation and another normalization."""

import functools
import json
from collections import Counter

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from cnn_jax import layers, models
from cnn_jax.core.errors import UserError
from cnn_jax.models.exchangeable import Exchangeable

NETWORKS = {
    json.dumps([repr(spec.module), dict(spec.tiny), spec.values.get("block")]): name
    for name, spec in reversed(models.MODELS.items())
    if issubclass(spec.module, Exchangeable)
}
QUICK = ("plain", "lenet5")  # with and without a normalization of its own
# The calls of ReLU in the context module, which the paper's initialization needs.
CONTEXT = 7
OWN = {"lenet5": "tanh", "mobilenet_v2": "relu6"}


def by_tier(names):
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.full) for n in names]


networks = pytest.mark.parametrize("name", by_tier(NETWORKS.values()))


def tiny(name, **attributes):
    small = {"num_classes": 4} | models.MODELS[name].tiny
    return models.create(name, **small | attributes)


@functools.cache
def traced(model):
    """The program that initializes and applies a network, and the variables' shapes."""

    def run(key, x):
        outputs, variables = model.init_with_output(key, x, train=False)
        return outputs, variables

    x = jnp.zeros((2, 32, 32, 1))
    program, (_, variables) = jax.make_jaxpr(run, return_shape=True)(
        jax.random.key(0), x
    )
    return program.jaxpr, {
        "/".join(path): leaf.shape for path, leaf in flatten_dict(variables).items()
    }


def functions(jaxpr):
    """The number of calls of each primitive and each named function of a program.

    The parts of an activation are not counted.
    """
    found = Counter()
    for equation in jaxpr.eqns:
        name = equation.params.get("name") or equation.primitive.name
        found[name] += 1
        if name in ("relu", "relu6", "silu", "tanh"):
            continue
        for value in equation.params.values():
            for part in value if isinstance(value, tuple) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    found += functions(inner)
    return found


@networks
def test_activation_and_normalization_are_exchanged(name):
    """All calls of the old activation are calls of the new one, and normalizations have
    the same parameters. Without normalization, all convolutions have a bias."""
    fixed = CONTEXT if name == "context_net" else 0
    model = tiny(name)
    own = OWN.get(name, model.own_activation)
    own = {"gelu": "erfc"}.get(own, own)  # which has no name in a program
    program, shapes = traced(model)
    bare, without = traced(tiny(name, norm="none", activation="silu"))
    before, after = functions(program), functions(bare)
    assert after["silu"] == before[own] - fixed > 0
    assert after[own] == fixed and not before["silu"]

    batch = shapes if model.own_norm == "batch" else traced(tiny(name, norm="batch"))[1]
    group = traced(tiny(name, norm="group"))[1]
    statistics = {key for key in batch if key.startswith("batch_stats/")}
    normalized = {key.split("/")[1] for key in statistics}
    scales = {key for key in batch if key.endswith("/scale")}
    if name.startswith("airbench"):  # its normalizations have a shift and no scale
        scales = {f"params/{layer}/bias" for layer in normalized}
    assert len(statistics) == 2 * len(scales) > 0
    assert group == {k: v for k, v in batch.items() if k not in statistics}
    assert not without.keys() & {*scales, *statistics}
    kernels = {key.removesuffix("kernel") for key in without if key.endswith("/kernel")}
    kernels -= set() if getattr(model, "head_bias", True) else {"params/head/"}
    assert not [place for place in kernels if f"{place}bias" not in without]
    assert shapes in (batch, without)


@pytest.mark.parametrize("norm", ["layer", "instance"])
@pytest.mark.parametrize("name", QUICK)
def test_all_normalizations_have_the_same_parameters(name, norm):
    group = traced(tiny(name, norm="group"))[1]
    assert traced(tiny(name, norm=norm))[1] == group


@pytest.mark.parametrize("name", ["plain", "lenet5"])
def test_the_default_is_the_architectures_own(name):
    model = tiny(name)
    assert (model.activation, model.norm) == (OWN.get(name) or None, None)
    own = {"activation": model.own_activation, "norm": model.own_norm}
    if name in OWN:
        del own["activation"]
    assert str(traced(tiny(name, **own))[0]) == str(traced(model)[0])


@pytest.mark.parametrize("layer", ["fire", "inception", "bottleneck", "flattened"])
def test_layers_of_an_ablation(layer):
    attributes = {"layer": layer, "filters": ("gaussian",), "depth": 1}
    before = traced(tiny("plain", **attributes, norm="layer"))
    after = traced(tiny("plain", **attributes, norm="none", activation="silu"))
    calls = [functions(program) for program, _ in (before, after)]
    assert calls[0]["relu"] == calls[1]["silu"] > 0 and not calls[1]["relu"]
    assert any("norm/scale" in key for key in before[1])
    assert not any("scale" in key for key in after[1])


def test_shared_kernels_with_each_normalization():
    shapes = traced(tiny("plain", shared=True, norm="none"))[1]
    assert shapes["params/stage1_shared/bias"] == (4,)
    shapes = traced(tiny("plain", shared=True, norm="group"))[1]
    assert "params/stage1_shared/bias" not in shapes
    assert shapes["params/stage1_layer2_norm/scale"] == (4,)


def test_vgg_without_its_normalization():
    """`norm` is chosen before `batch_norm`."""
    without, plain = (tiny(name, norm="none") for name in ("vgg11_bn", "vgg11"))
    assert traced(without)[1] == traced(plain)[1]
    grouped = traced(tiny("vgg11", norm="group"))[1]
    assert grouped["params/norm1_1/scale"] == (4,)


class Halved(nn.Module):
    """A user's normalization."""

    @nn.compact
    def __call__(self, x):
        return x * self.param("half", nn.initializers.constant(0.5), ())


def test_a_users_layer_and_function():
    path = f"{__name__}.Halved"
    program, shapes = traced(tiny("plain", norm=path, activation="jax.numpy.arctan"))
    assert shapes["params/stage1_layer1/norm/half"] == ()
    assert functions(program)["atan"] == 4


@pytest.mark.parametrize(
    ("backbone", "norm"),
    [("nin", None), ("plain", None), ("plain", "group"), ("plain", "none")],
)
def test_the_expanding_path_is_as_its_backbone(backbone, norm):
    small = models.MODELS[backbone].tiny | models.ON_BACKBONES["unet"].tiny
    model = models.create(
        f"unet:{backbone}", num_classes=2, **small, norm=norm, activation="silu"
    )
    program, shapes = traced(model)
    assert not functions(program)["relu"]
    up = {key.split("/")[0] for key in shapes if "/convs/norm1" in key}
    expected = {None: {"params", "batch_stats"}, "group": {"params"}, "none": set()}
    assert up == expected[norm]
    inside = any(k.startswith("params/backbone") and "scale" in k for k in shapes)
    assert inside == (norm == "group" or (norm is None and backbone == "plain"))


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("resnet20", {"norm": "grupo"}, r"unknown norm 'grupo'\. Did you mean 'group'"),
        ("mlp", {"activation": "rellu"}, r"activation 'rellu'\. Did you mean 'relu'"),
        ("unet", {"activation": "gellu"}, r"activation 'gellu'\. Did you mean 'gelu'"),
        (
            "plain",
            {"norm_groups": 4},
            "norm_groups=4 belongs to norm=group, not to nor",
        ),
        (
            "plain",
            {"norm": "group", "norm_groups": 0},
            "norm_groups=0 must be at least",
        ),
        ("fcos:resnet20", {"norm": "grupo"}, "unknown norm 'grupo'"),
    ],
)
def test_impossible_values(name, attributes, message):
    with pytest.raises(UserError, match=message):
        models.create(name, num_classes=3, **attributes)


def test_groups_that_do_not_divide_the_channels():
    model = tiny("plain", norm="group", norm_groups=3)
    with pytest.raises(
        UserError, match=r"norm_groups=3 .* stage1_layer1/norm has 4 ch"
    ):
        traced(model)


def test_networks_that_cannot_exchange_them():
    """Networks whose papers fix their layers do not know the attributes."""
    for name in ("edsr", "dncnn", "johnson"):
        assert not {"norm", "activation"} & models.attributes(name).keys()
    with pytest.raises(UserError, match="unknown attribute of edsr 'norm'"):
        models.create("edsr", norm="batch")


def test_what_is_exchanged_in_words():
    assert tiny("plain").exchanged == tiny("lenet5").exchanged == ""
    assert tiny("plain", norm="batch", activation="relu").exchanged == ""
    assert tiny("lenet5", activation="elu", norm="layer").exchanged == (
        "activation: elu in place of tanh; normalization: layer in place of none"
    )


def test_names():
    model = tiny("plain")
    assert model.activate is layers.ACTIVATIONS["relu"]
    assert model.normalization(True)() == layers.batch_norm(True)()
    assert tiny("plain", norm="none").normalization(True) is None
    synced = tiny("plain", sync_batch_norm=True, dtype="bfloat16")
    made = synced.normalization(False, epsilon=0.1)(name="a")
    assert made.axis_name == layers.BATCH_AXIS and made.use_running_average
    assert (made.dtype, made.epsilon) == (jnp.bfloat16, 0.1)
