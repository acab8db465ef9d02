"""The peers are the same networks, with the same weights."""

import jax
import numpy as np
import pytest

from cnn_jax.benchmarks import measure, peers
from cnn_jax.benchmarks.subject import Request, make

NETWORKS = {
    "cifar": ("resnet20", {"width": 4}),
    "identity": (
        "resnet20",
        {"width": 4, "shortcut": "identity", "stage_sizes": (1, 2)},
    ),
    "plain": ("resnet20", {"width": 4, "shortcut": "zero", "stage_sizes": (1, 2)}),
    "imagenet": ("resnet18", {"width": 4, "stage_sizes": (1, 1)}),
    "grouped": (
        "resnext50_32x4d",
        {"width": 16, "groups": 4, "stage_sizes": (1, 1), "dropout": 0.5},
    ),
}


@pytest.fixture(params=measure.PEERS)
def name(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return request.param


def subject_of(model, attributes, **options):
    overrides = {f"model.{key}": str(value) for key, value in attributes.items()}
    overrides |= {"model.num_classes": "5", "data.batch_size": "3"} | options
    return make(Request(model=model, overrides=overrides, input_shape=(32, 40, 3)))


@pytest.mark.full
@pytest.mark.parametrize("network", NETWORKS)
def test_outputs(name, network):
    subject = subject_of(*NETWORKS[network])
    variables = subject.fresh_state().variables()
    # Statistics and scales that are no ones and zeros.
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(0)
    leaves = [leaf * rng.uniform(0.5, 1.5, leaf.shape).astype("f") for leaf in leaves]
    variables = jax.tree.unflatten(tree, leaves)
    images = rng.standard_normal((3, 32, 40, 3), np.float32)
    peer = measure.PEERS[name](subject, variables)
    model = subject.network.model
    expected = jax.jit(lambda x: model.apply(variables, x, train=False))(images)
    np.testing.assert_allclose(peer.logits(images), expected, rtol=1e-3, atol=1e-4)


def test_steps(name):
    subject = subject_of("resnet20", {"width": 4, "stage_sizes": (1,)})
    peer = measure.PEERS[name](subject, subject.fresh_state().variables())
    rows = subject.batch("train")
    images = subject.normalized(rows["image"])
    assert images.shape == (3, 32, 40, 3) and images.dtype == np.float32
    for run in (peer.train(images, rows["label"]), peer.infer(images)):
        run(2)


@pytest.mark.parametrize(
    "model, attributes, message",
    [
        ("mlp", {}, "mlp"),
        ("resnet20", {"head": "conv_gap"}, "head=conv_gap"),
        ("resnet20", {"output_stride": 2}, "output_stride=2"),
        ("preactresnet110", {"stage_sizes": (1, 1)}, "preactresnet110"),
    ],
)
def test_networks_that_a_peer_does_not_have(name, model, attributes, message):
    subject = subject_of(model, attributes)
    with pytest.raises(peers.NoPeer, match=message):
        measure.PEERS[name](subject, subject.fresh_state().variables())


def test_other_outputs_are_refused():
    peers.check_outputs(np.array([1.0, -2.0]), np.array([1.01, -2.0]), 1e-2)
    for found in ([1.0, -2.1], [np.nan, -2.0]):
        with pytest.raises(ValueError, match="outputs differ"):
            peers.check_outputs(np.array(found), np.array([1.0, -2.0]), 1e-2)
