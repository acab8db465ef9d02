"""Residual networks with torchvision's names, with a stand-in for PyTorch.

That their outputs are ours is tested in `test_peers.py`, where PyTorch is installed.
"""

from types import SimpleNamespace

import pytest

from cnn_jax import models
from cnn_jax.benchmarks import torch_resnet
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.weights import torch_weights


class Module:
    """A module of PyTorch, as far as its state dict goes."""

    def __init__(self, **state):
        object.__setattr__(self, "own", state)
        object.__setattr__(self, "children", {})

    def __setattr__(self, name, value):
        if isinstance(value, Module):
            self.children[name] = value
        object.__setattr__(self, name, value)

    def add_module(self, name, module):
        self.children[name] = module

    def state(self):
        found = dict(self.own)
        for name, child in self.children.items():
            found |= {f"{name}.{key}": shape for key, shape in child.state().items()}
        return found


class Conv2d(Module):
    def __init__(
        self, channels, features, size, stride=1, padding=0, groups=1, *, bias
    ):
        assert not bias
        super().__init__(weight=(features, channels // groups, size, size))
        self.out_channels, self.geometry = features, (size, stride, padding, groups)


class BatchNorm2d(Module):
    def __init__(self, features):
        names = ("weight", "bias", "running_mean", "running_var")
        super().__init__(**dict.fromkeys(names, (features,)))


class Linear(Module):
    def __init__(self, channels, features):
        super().__init__(weight=(features, channels), bias=(features,))


class Sequential(Module):
    def __init__(self, *modules):
        super().__init__()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)


def plain(*_, **__):
    return Module()


LAYERS = dict.fromkeys(
    ("ReLU", "MaxPool2d", "AdaptiveAvgPool2d", "Flatten", "Dropout"), plain
)
LAYERS |= {kind.__name__: kind for kind in (Conv2d, BatchNorm2d, Linear, Sequential)}
TORCH = SimpleNamespace(nn=SimpleNamespace(Module=Module, **LAYERS))

NETWORKS = {
    "cifar": ("resnet20", {"width": 4}),
    "identity": ("resnet20", {"width": 4, "shortcut": "identity"}),
    "without": ("resnet20", {"width": 4, "shortcut": "zero"}),
    "imagenet": ("resnet18", {"width": 4, "stage_sizes": (1, 2)}),
    "bottleneck": ("resnet50", {"width": 8, "stage_sizes": (1, 1)}),
    "wide": ("wide_resnet50_2", {"width": 8, "stage_sizes": (2,)}),
    "grouped": ("resnext50_32x4d", {"width": 16, "groups": 4, "stage_sizes": (1, 1)}),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_state_dict_is_the_one_that_our_weights_become(network, channels):
    name, attributes = NETWORKS[network]
    model = models.create(name, num_classes=5, **attributes)
    built = torch_resnet.build(TORCH, model, channels)
    entries = torch_weights.entries_of("resnet18", model, (32, 32, channels))
    assert built.state() == {entry.name: entry.torch_shape for entry in entries}


def geometries(built):
    """Kernel size, stride, padding and groups of each convolution, by its name."""
    found = {}

    def walk(module, prefix):
        for name, child in module.children.items():
            if isinstance(child, Conv2d):
                found[prefix + name] = child.geometry
            walk(child, f"{prefix}{name}.")

    walk(built, "")
    return found


def test_where_it_strides():
    """In the 3x3 convolution of a bottleneck, as torchvision does."""
    model = models.create("resnext50_32x4d", num_classes=5, stage_sizes=(1, 2))
    found = geometries(torch_resnet.build(TORCH, model, 3))
    assert found["conv1"] == (7, 2, 3, 1)
    assert found["layer1.0.conv2"] == (3, 1, 1, 32)
    assert found["layer2.0.conv1"] == (1, 1, 0, 1)
    assert found["layer2.0.conv2"] == (3, 2, 1, 32)
    assert found["layer2.0.downsample.0"] == (1, 2, 0, 1)
    assert found["layer2.1.conv2"] == (3, 1, 1, 32)
    model = models.create("resnet20", num_classes=5)
    found = geometries(torch_resnet.build(TORCH, model, 3))
    assert found["conv1"] == (3, 1, 1, 1)
    assert found["layer2.0.conv1"] == (3, 2, 1, 1)
    assert found["layer2.0.conv2"] == found["layer2.1.conv1"] == (3, 1, 1, 1)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_is_a_layer_where_there_is_any(dropout):
    model = models.create("resnet20", num_classes=5, dropout=dropout)
    built = torch_resnet.build(TORCH, model, 3)
    assert ("dropout" in built.children) == (dropout > 0)
    assert list(built.children)[-1] == "fc"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"head": "conv_gap"}, r"head=conv_gap: set .*head to gap"),
        ({"output_stride": 2}, r"output_stride=2: set .* to None"),
        ({"stochastic_depth": 0.5}, r"stochastic_depth=0.5: set .* to 0.0"),
    ],
)
def test_attributes_that_it_has_not(attributes, words):
    model = models.create("resnet20", num_classes=5, **attributes)
    with pytest.raises(NoPeer, match=words):
        torch_resnet.build(TORCH, model, 3)
