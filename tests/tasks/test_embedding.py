"""Embedding as a task: which loss is taken, and what an evaluation says."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import verification
from cnn_jax.tasks.embedding import LOSSES, Embedding

NAMES = ("ann", "bob", "eve")


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    return {
        "embedding": jnp.asarray(rng.normal(size=(6, 4)), jnp.float32),
        "cosine": jnp.asarray(rng.uniform(-1, 1, (6, 3)), jnp.float32),
    }


BATCH = {"label": jnp.array([0, 0, 1, 1, 2, 2], jnp.int32)}


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_the_named_one(outputs, name):
    task = Embedding(NAMES, loss_name=name, margin=0.3, scale=10.0)
    function, *_ = LOSSES[name]
    if name == "arcface":
        expected = function(outputs["cosine"], BATCH["label"], scale=10.0, margin=0.3)
    else:
        expected = function(outputs["embedding"], BATCH["label"], margin=0.3)
    assert float(task.loss(outputs, BATCH)) == pytest.approx(float(expected))
    own = float(Embedding(NAMES, loss_name=name).loss(outputs, BATCH))
    assert own != pytest.approx(float(expected))  # the margin that it is known for


def test_metrics_are_of_training_alone(outputs):
    task = Embedding(NAMES)
    found = task.metrics(outputs, BATCH)
    assert found.keys() == {"loss", "accuracy"}
    right = (np.asarray(outputs["cosine"]).argmax(1) == BATCH["label"]).sum()
    assert found["accuracy"] == (right, 6)
    assert task.metrics(outputs, BATCH | {"mask": jnp.ones(6)}) == {}


def rows_of(vectors, labels):
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    return [
        {"image": image, "embedding": vector, "label": np.int32(label)}
        for image, vector, label in zip(images, vectors, labels, strict=True)
    ]


def test_scores_of_people_never_seen():
    rng = np.random.default_rng(1)
    labels = np.repeat([5, 6, 7, 8], 6)
    vectors = rng.normal(size=(4, 16))[labels - 5] + rng.normal(0, 0.8, (24, 16))
    found = Embedding(NAMES).scores({}, rows_of(vectors, labels))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    first, second = np.triu_indices(24, 1)
    expected = roc_auc_score(
        labels[first] == labels[second], (unit @ unit.T)[first, second]
    )
    assert found["auc"] == pytest.approx(expected)
    assert {
        "rank_1",
        "equal_error_rate",
        "threshold",
        "dir_at_fpir_0.1",
    } <= found.keys()
    for photos in (1, 2):
        task = Embedding(NAMES, photos=photos)
        rank_1 = verification.rank_1(unit @ unit.T, labels, photos)
        scores = task.scores({}, rows_of(vectors, labels))
        assert scores["rank_1"] == pytest.approx(rank_1)


def test_pictures_and_answers(outputs):
    task = Embedding(NAMES)
    labels = np.repeat([3, 4], 3)
    found = task.summaries({}, (), rows_of(np.asarray(outputs["embedding"]), labels))
    assert found.keys() == {"roc", "impostors", "mates"}
    assert task.summaries({}, ()) == {}
    host = {name: np.asarray(values) for name, values in outputs.items()}
    answers = task.answers([], host, 1)
    assert [row[0]["identity"] for row in answers] == [
        NAMES[i] for i in host["cosine"].argmax(1)
    ]
    one = {name: values[0] for name, values in host.items()}
    assert task.drawn(np.zeros((8, 8, 1), np.uint8), one).shape[0] > 100


def test_mistakes():
    with pytest.raises(UserError, match="loss_name"):
        Embedding(NAMES, loss_name="arc")
    for name, margin in (("arcface", 1.6), ("contrastive", 0.0)):
        with pytest.raises(UserError, match=rf"margin={margin} of {name} must be"):
            Embedding(NAMES, loss_name=name, margin=margin)
    for name, (_, margin, margins) in LOSSES.items():
        assert margin in margins, name


def test_people_of_one_picture_cannot_be_identified():
    """The other people are still verified, and identified if they have two pictures."""
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    task = Embedding(NAMES)
    found = task.scores({}, rows_of(vectors, [3, 4, 4, 4, 4, 5]))
    assert {"auc", "rank_1", "threshold"} <= found.keys()
    few = Embedding(NAMES, photos=4).scores({}, rows_of(vectors, [3, 4, 4, 4, 4, 5]))
    assert "auc" in few and "rank_1" not in few


def test_runs_without_identities_of_their_own(outputs):
    task = Embedding(NAMES, loss_name="batch_hard_triplet")
    found = {key: np.asarray(value) for key, value in outputs.items()}
    with pytest.raises(UserError, match="has no list of identities: use --verif"):
        task.answers([], found, 5)


def test_too_many_pictures_to_compare():
    with pytest.raises(
        UserError, match=r"20,000 pictures .* config\.data\.test_examples=10000"
    ):
        verification.check_count(20_000)
