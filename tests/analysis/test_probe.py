"""Probes against their definitions, on clouds of points."""

import numpy as np
import pytest

from cnn_jax.analysis import probe


@pytest.fixture
def clouds():
    """`clouds(n, seed)`: n points around each of three centers, and their labels."""

    def make(n, seed):
        rng = np.random.default_rng(seed)
        centers = np.array([[4.0, 0, 0, 1], [0, 4, 0, 1], [0, 0, 4, 1]])
        labels = np.repeat(np.arange(3), n)
        points = centers[labels] + rng.standard_normal((3 * n, 4))
        return points.astype(np.float32), labels.astype(np.int32)

    return make


@pytest.mark.parametrize("name", probe.PROBES)
def test_clouds_are_told_apart(name, clouds):
    features, labels = clouds(50, 1)
    predict = probe.PROBES[name](*clouds(50, 0))
    assert (predict(features) == labels).mean() > 0.95


def test_the_vote_of_neighbors(clouds):
    """Written out: the twenty most similar, weighted by exp(similarity / 0.07)."""
    (train, labels), (test, _) = clouds(20, 0), clouds(10, 1)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test)]
    similar = unit[1] @ unit[0].T
    expected = []
    for row in similar:
        best = np.argsort(-row)[: probe.NEIGHBORS]
        votes = np.zeros(3)
        np.add.at(votes, labels[best], np.exp(row[best] / probe.TEMPERATURE))
        expected.append(votes.argmax())
    np.testing.assert_array_equal(probe.nearest(train, labels)(test), expected)


def test_scales_do_not_matter_to_the_linear_probe(clouds):
    (train, labels), (test, _) = clouds(20, 0), clouds(10, 1)
    scales = np.array([1, 1000, 0.001, 1], np.float32)
    one = probe.linear(train, labels)(test)
    other = probe.linear(train * scales, labels)(test * scales)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", probe.PROBES)
def test_one_example_a_class(name):
    features = np.eye(3, dtype=np.float32)
    predict = probe.PROBES[name](features, np.arange(3, dtype=np.int32))
    np.testing.assert_array_equal(predict(features), np.arange(3))
