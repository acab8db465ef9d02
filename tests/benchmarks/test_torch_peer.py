"""Messages if PyTorch is not installed, or has no such network.

`test_peers.py` compares the networks, if PyTorch is installed.
"""

import sys
import types
from types import SimpleNamespace

import jax
import pytest

from cnn_jax import models
from cnn_jax.benchmarks import torch_peer
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.benchmarks.torch_peer import Peer
from cnn_jax.training.config import Config


@pytest.fixture
def torch(monkeypatch):
    """A module that stands for PyTorch, with or without a GPU."""
    made = types.ModuleType("torch")
    made.threads = []
    made.set_num_threads = made.threads.append
    made.cuda = SimpleNamespace(is_available=lambda: False)
    monkeypatch.setattr(torch_peer, "module", lambda: made)
    return made


def test_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for function in (torch_peer.module, torch_peer.library):
        with pytest.raises(NoPeer, match="which is not installed: python -m pip inst"):
            function()


def test_without_torchvision(torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(NoPeer, match="needs torchvision for --input: python -m pip"):
        torch_peer.vision("--input")


def test_it_has_as_many_threads_as_there_are_processors(torch, monkeypatch):
    monkeypatch.setattr(torch_peer.machine, "cores", lambda: 7)
    assert torch_peer.library() is torch and torch.threads == [7]


@pytest.mark.parametrize(
    ("backend", "words"),
    [("tpu", "not on a tpu"), ("gpu", "PyTorch finds no GPU, but JAX uses a GPU")],
)
def test_it_has_no_such_device(backend, words, torch, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    with pytest.raises(NoPeer, match=words):
        torch_peer.library()


def test_it_compares_on_one_device(torch, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    with pytest.raises(NoPeer, match="one device, but JAX uses 4"):
        torch_peer.library()


def test_networks_that_it_has_not(torch):
    """The message lists the known networks. Residual networks are always built."""
    with pytest.raises(
        NoPeer, match=r"has no network lenet5: .*alexnet_owt, .*vgg11"
    ) as error:
        torch_peer.build("lenet5", models.create("lenet5"), {}, (32, 32, 1))
    assert "resnet" not in str(error.value).split("installed,")[1].replace(
        "fcn_resnet50", ""
    ).replace("deeplabv3_resnet50", "")


@pytest.mark.parametrize(
    ("config", "name", "options"),
    [
        (
            {"name": "sgd", "momentum": 0.9, "nesterov": True},
            "SGD",
            {"momentum": 0.9, "nesterov": True},
        ),
        # PyTorch refuses Nesterov's momentum of zero.
        (
            {"name": "sgd", "momentum": 0.0, "nesterov": True},
            "SGD",
            {"momentum": 0.0, "nesterov": False},
        ),
        (
            {"name": "adamw", "b1": 0.8, "b2": 0.9, "eps": 1e-6},
            "AdamW",
            {"betas": (0.8, 0.9), "eps": 1e-6},
        ),
    ],
)
def test_the_optimizer_is_the_configs(config, name, options):
    peer, made = object.__new__(Peer), []

    def optimizer(kind):
        return lambda parameters, **given: made.append((kind, parameters, given))

    optim = SimpleNamespace(SGD=optimizer("SGD"), AdamW=optimizer("AdamW"))
    peer._torch = SimpleNamespace(optim=optim)
    peer._optimizer = Config({"learning_rate": 0.1, "weight_decay": 0.2} | config)
    peer.network = SimpleNamespace(parameters=lambda: "parameters")
    peer._make_optimizer()
    expected = {"lr": 0.1, "weight_decay": 0.2} | options
    assert made == [(name, "parameters", expected)]


def test_an_optimizer_that_it_has_not():
    peer = object.__new__(Peer)
    peer._torch = SimpleNamespace(optim=None)
    peer._optimizer = Config(
        {"name": "lion", "learning_rate": 1.0, "weight_decay": 0.0}
    )
    with pytest.raises(NoPeer, match="optimizers sgd and adamw, not lion"):
        peer._make_optimizer()
