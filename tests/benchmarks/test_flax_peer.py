"""Residual networks in plain linen have our parameters.

That their outputs are ours is tested in `test_peers.py`.
"""

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import models
from cnn_jax.benchmarks import flax_peer
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.benchmarks.subject import Request, make

NETWORKS = {
    "cifar": ("resnet20", {"width": 4}),
    "identity": ("resnet20", {"width": 4, "shortcut": "identity"}),
    "without": ("resnet20", {"width": 4, "shortcut": "zero"}),
    "imagenet": ("resnet34", {"width": 4, "stage_sizes": (1, 2)}),
    "bottleneck": ("resnet50", {"width": 8, "stage_sizes": (1, 1)}),
    "grouped": ("resnext50_32x4d", {"width": 16, "groups": 4, "stage_sizes": (2,)}),
}


def shapes(model):
    """Returns the shapes of the variables and of the logits."""
    logits, variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((2, 32, 48, 3), jnp.float32),
    )
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (variables, logits))


@pytest.mark.parametrize("network", NETWORKS)
def test_names_and_shapes_are_ours(network):
    name, attributes = NETWORKS[network]
    ours = models.create(name, num_classes=5, **attributes)
    assert shapes(flax_peer.ResNet(ours.clone(parent=None))) == shapes(ours)


def subject_of(**overrides):
    small = {"model.width": "4", "model.stage_sizes": "(1,)"}
    request = Request(model="resnet20", overrides=small | overrides)
    return make(request)


def test_an_optimizer_that_it_has_not():
    subject = subject_of(**{"optimizer.name": "adamw"})
    with pytest.raises(NoPeer, match="has only the optimizer sgd"):
        flax_peer.Peer(subject, {})


def test_it_compares_on_one_device(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    with pytest.raises(NoPeer, match="one device, but JAX uses 2"):
        flax_peer.Peer(subject_of(**{"data.batch_size": "4"}), {})


def test_other_weights_than_ours_are_noticed(monkeypatch):
    """A peer with other weights is refused, because its outputs differ."""
    subject = subject_of()
    variables = subject.fresh_state().variables()

    def shifted(self, images):
        x = jnp.asarray(images)
        return 1.1 * subject.network.model.apply(variables, x, train=False)

    monkeypatch.setattr(flax_peer.Peer, "logits", shifted)
    with pytest.raises(ValueError, match="the peer's outputs differ from ours by 1"):
        flax_peer.Peer(subject, variables)
