"""Names of torchvision and timm, as their documentation and their files have them."""

import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cnn_jax import models
from cnn_jax.models.other_names import behind
from cnn_jax.weights import pretrained, torch_weights

# Of each family: modules here, and torchvision's names in its files.
NAMES = {
    "resnet50": {
        "stem/conv": "conv1",
        "stem/norm": "bn1",
        "stage1_block1/conv3": "layer1.0.conv3",
        "stage3_block2/norm2": "layer3.1.bn2",
        "stage4_block1/shortcut_conv": "layer4.0.downsample.0",
        "stage4_block1/shortcut_norm": "layer4.0.downsample.1",
        "head": "fc",
    },
    "fcn_resnet50": {
        "stem/conv": "backbone.conv1",
        "stage4_block3/conv2": "backbone.layer4.2.conv2",
        "head_conv1/conv": "classifier.0",
        "head_conv1/norm": "classifier.1",
        "head": "classifier.4",
        "aux/head_conv1/conv": "aux_classifier.0",
        "aux/head": "aux_classifier.4",
    },
    "deeplabv3_resnet50": {
        "aspp/pointwise/conv": "classifier.0.convs.0.0",
        "aspp/dilated2/norm": "classifier.0.convs.2.1",
        "aspp/pooled/conv": "classifier.0.convs.4.1",
        "aspp/project/norm": "classifier.0.project.1",
        "head_conv1/conv": "classifier.1",
        "head_conv1/norm": "classifier.2",
        "head": "classifier.4",
        "aux/head": "aux_classifier.4",
    },
    "alexnet_owt": {
        "conv1": "features.0",
        "conv2": "features.3",
        "conv5": "features.10",
        "fc1": "classifier.1",
        "fc2": "classifier.4",
        "head": "classifier.6",
    },
    "vgg16": {
        "conv1_1": "features.0",
        "conv2_1": "features.5",
        "conv5_3": "features.28",
        "fc2": "classifier.3",
        "head": "classifier.6",
    },
    "vgg19_bn": {"conv5_4": "features.49", "norm5_4": "features.50"},
    "squeezenet1_0": {
        "fire2/squeeze": "features.3.squeeze",
        "fire4/expand3x3": "features.5.expand3x3",
        "fire5/squeeze": "features.7.squeeze",
        "fire9/expand1x1": "features.12.expand1x1",
        "head": "classifier.1",
    },
    "squeezenet1_1": {
        "fire4/squeeze": "features.6.squeeze",
        "fire9/squeeze": "features.12.squeeze",
    },
    "mobilenet_v2": {
        "first_conv": "features.0.0",
        "stage1_block1/depthwise_conv": "features.1.conv.0.0",
        "stage1_block1/project_conv": "features.1.conv.1",
        "stage1_block1/project_norm": "features.1.conv.2",
        "stage2_block1/expand_norm": "features.2.conv.0.1",
        "stage2_block2/depthwise_conv": "features.3.conv.1.0",
        "stage7_block1/project_norm": "features.17.conv.3",
        "last_norm": "features.18.1",
        "head": "classifier.1",
    },
    "googlenet_bn": {
        "conv1/conv": "conv1.conv",
        "inception4e/branch3x3_reduce/conv": "inception4e.branch2.0.conv",
        "inception5b/branch5x5/norm": "inception5b.branch3.1.bn",
        "inception3a/branch_pool/conv": "inception3a.branch4.1.conv",
        "aux1/fc2": "aux1.fc2",
        "head": "fc",
    },
    "inception_v3": {
        "conv1a/conv": "Conv2d_1a_3x3.conv",
        "conv4a/norm": "Conv2d_4a_3x3.bn",
        "mixed5b/branch5x5_1/conv": "Mixed_5b.branch5x5_1.conv",
        "mixed7c/branch3x3dbl_3b/norm": "Mixed_7c.branch3x3dbl_3b.bn",
        "aux/conv1/conv": "AuxLogits.conv1.conv",
        "aux/fc": "AuxLogits.fc",
    },
    "densenet121": {
        "stem/conv": "features.conv0",
        "denseblock3_layer24/norm1": "features.denseblock3.denselayer24.norm1",
        "transition2/conv": "features.transition2.conv",
        "norm": "features.norm5",
        "head": "classifier",
    },
    "r3d_18": {
        "stem/conv": "stem.0",
        "stem/norm": "stem.1",
        "stage2_block1/conv1": "layer2.0.conv1.0",
        "stage2_block1/norm1": "layer2.0.conv1.1",
        "stage2_block1/shortcut_norm": "layer2.0.downsample.1",
    },
    "r2plus1d_18": {
        "stem/conv/spatial": "stem.0",
        "stem/conv/norm": "stem.1",
        "stem/conv/temporal": "stem.3",
        "stem/norm": "stem.4",
        "stage1_block1/conv2/temporal": "layer1.0.conv2.0.3",
        "stage1_block1/norm2": "layer1.0.conv2.1",
        "head": "fc",
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_layers(name):
    names, model = models.spec_of(name).names, models.create(name)
    for ours, theirs in NAMES[name].items():
        assert names.translate(model, ours) == theirs


def test_every_family_has_names_here():
    shown = {models.MODELS[name].names.rules for name in NAMES}
    known = [spec.names for spec in models.MODELS.values() if spec.names]
    assert shown == {names.rules for names in known}


def test_layers_that_torchvision_has_not():
    names, model = models.MODELS["resnet50"].names, models.create("resnet50")
    for path in ("fc1", "stem", "stage1_block1", "stage1_block1/conv1/x", ""):
        assert names.translate(model, path) is None


def test_rules_of_a_part():
    (first, second) = behind("x.", [("a", "b"), (r"c(\d)", lambda i: f"d{i + 1}")])
    assert first[1]() == "x.b" and second[1](3) == "x.d4"


def test_the_weights_of_a_backbone_alone():
    """Under the names that they have inside of torchvision's segmentation network."""
    family = models.MODELS["fcn_resnet50"].names
    state = {"conv1.weight": 1, "fc.weight": 2, "fc.bias": 3, "fcx": 4}
    whole = {"backbone.conv1.weight": 1, "backbone.fcx": 4}
    assert family.whole(state) == whole
    assert family.whole(whole) is whole
    assert models.MODELS["resnet50"].names.whole(state) is state


# ----------------------------------------------------------------- names of others


def timm_names(name, keys):
    """The names of timm 1.0 for those of torchvision, as its state dicts have them."""
    if name == "vgg11_bn":
        table = {"0": "pre_logits.fc1", "3": "pre_logits.fc2", "6": "head.fc"}
        return {
            key: f"{table[key.split('.')[1]]}.{key.split('.')[2]}"
            if key.startswith("classifier.")
            else key
            for key in keys
        }
    plain = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2"}
    plain |= {"2": "conv_pwl", "3": "bn3"}
    first = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
    outside = {"features.0.0": "conv_stem", "features.0.1": "bn1"}
    outside |= {"features.18.0": "conv_head", "features.18.1": "bn2"}
    outside |= {"classifier.1": "classifier"}
    places = [(s, i) for s, n in enumerate([1, 2, 3, 4, 3, 3, 1]) for i in range(n)]
    found = {}
    for key in keys:
        module, _, leaf = key.rpartition(".")
        if module not in outside:
            _, number, _, layer = module.split(".", 3)
            stage, block = places[int(number) - 1]
            layer = (first if number == "1" else plain)[layer]
            found[key] = f"blocks.{stage}.{block}.{layer}.{leaf}"
        else:
            found[key] = f"{outside[module]}.{leaf}"
    return found


@pytest.mark.parametrize(
    "name", ["vgg11_bn", pytest.param("mobilenet_v2", marks=pytest.mark.full)]
)
def test_timms_names(name, tmp_path):
    small = {"vgg11_bn": {"width": 4, "head_width": (6, 5)}}
    small["mobilenet_v2"] = {"width_multiplier": 0.1}
    model = models.create(name, num_classes=3, **small[name])
    shape = (32, 32, 3)
    entries = torch_weights.entries_of(name, model, shape)
    rng = np.random.default_rng(0)
    state = {e.name: rng.standard_normal(e.torch_shape, np.float32) for e in entries}
    names = timm_names(name, state)
    theirs = {names[key]: value for key, value in state.items()}
    for key, size in (("pre_logits.fc1.weight", 7), ("pre_logits.fc2.weight", 1)):
        if key in theirs:  # convolutions there
            rows = len(theirs[key])
            theirs[key] = theirs[key].reshape(rows, -1, size, size)
    files = {"torchvision": state, "timm": theirs}
    loaded = {}
    for source, content in files.items():
        path = tmp_path / f"{source}.safetensors"
        safetensors.numpy.save_file(content, path)
        loaded[source] = pretrained.load(path, name, model, shape).variables
    one, other = (flatten_dict(tree) for tree in loaded.values())
    assert one.keys() == other.keys()
    assert all(np.array_equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "mobilenet_v2", "densenet121"])
def test_names_that_are_torchvisions_stay(name):
    spec = models.MODELS[name]
    model = models.create(name, num_classes=3, **spec.tiny)
    entries = torch_weights.entries_of(name, model, spec.tiny_shape)
    state = {entry.name: np.empty(0) for entry in entries}
    renamed = spec.names.renamed(state)
    assert renamed.keys() == state.keys() != set()


def test_names_of_torchvisions_old_densenets():
    old = "features.denseblock1.denselayer2.norm.1.running_mean"
    new = "features.denseblock1.denselayer2.norm1.running_var"
    state = models.MODELS["densenet121"].names.renamed({old: 1, new: 2})
    assert state == {old.replace("norm.1", "norm1"): 1, new: 2}
