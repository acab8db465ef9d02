"""How good features are."""

import json

import jax
import numpy as np
import pytest

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.runs import probes


def test_probes_measure_the_last_map(made, monkeypatch, capsys):
    """A probe gets the map's mean over space, of training and then of test examples."""
    given = []

    def probe(features, labels):
        given.append((features, labels))
        return lambda test: given.append(test) or np.zeros(len(test), np.int32)

    monkeypatch.setitem(probes.probe.PROBES, "knn", probe)
    runs.probe_run(made.workdir, kind="knn", checkpoint="best", output="json")
    found = json.loads(capsys.readouterr().out)
    splits = made.dataset.splits
    share = float((splits["test"].labels == 0).mean())
    assert found == {"features": 2, "examples": 20, "knn/accuracy": share}
    (features, labels), test = given
    assert features.shape == (24, 2) and test.shape == (20, 2)
    np.testing.assert_array_equal(labels, splits["train"].labels)
    # The layer behind these means gives the logits.
    head = made.states[2].ema["params"]["head"]
    images = made.network.normalize(jax.numpy.asarray(splits["test"].images))
    logits = made.network.model.apply(made.states[2].ema, images, train=False)
    np.testing.assert_allclose(
        test @ head["kernel"] + head["bias"], logits, rtol=1e-4, atol=1e-5
    )


def test_a_probe_needs_weights(made, values):
    with pytest.raises(UserError, match=r"set --config\.model\.init_from=PATH"):
        runs.probe_weights(made.config, kind="knn", output="json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_kind": "pixels"}, "images of this data set have"),
        ({"classes": ("a",)}, "needs at least two classes"),
        ({"unseen": ("c",)}, "test split have no training images"),
    ],
)
def test_data_that_cannot_be_probed(change, words, made, monkeypatch):
    split = Arrays(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.int32))
    facts = {"classes": tuple("ab"), "mean": (0.5,), "std": (0.5,)} | change
    dataset = Dataset(
        dict.fromkeys(("train", "test"), split), image_shape=(8, 8, 1), **facts
    )
    with pytest.raises(UserError, match=words):
        probes._probe("knn", dataset, made.network, {}, "json")
