"""Losses of embeddings against other code, definitions spelled out, and their limits.

The numbers are those of pytorch-metric-learning 2.9.0.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from cnn_jax.tasks import embeddings as losses

METRIC_LOSSES = {
    "contrastive": jax.jit(losses.contrastive, static_argnames="margin"),
    "batch_hard": jax.jit(losses.batch_hard_triplet, static_argnames="margin"),
    "semi_hard": jax.jit(losses.semi_hard_triplet, static_argnames="margin"),
}
arcface_gradient = jax.jit(jax.value_and_grad(losses.arcface))
N, CLASSES = 7, 4
seeds = st.integers(0, 10_000)


@pytest.fixture(scope="module")
def golden():
    """Embeddings, labels and the vectors of the classes."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 5))
    return vectors, np.repeat(np.arange(4), 3), rng.standard_normal((5, 4))


def batch(seed):
    """Embeddings, labels and a mask; one embedding is there twice."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((N, 3)).astype(np.float32)
    vectors[1] = vectors[0]
    mask = (rng.random(N) < 0.8).astype(np.float32)
    return vectors, rng.integers(0, 3, N), mask


def distances_of(vectors):
    return euclidean_distances(
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(float)
    )


@pytest.mark.parametrize(
    ("margin", "scale", "expected"),
    [(0.5, 64.0, 39.0141862167), (0.5, 30.0, 18.3981480916), (0.3, 16.0, 7.65214933)],
)
def test_arcface_is_that_of_others(golden, margin, scale, expected):
    vectors, labels, classes = golden
    cosine = jnp.asarray(cosine_similarity(vectors, classes.T), jnp.float32)
    found = losses.arcface(cosine, jnp.asarray(labels), scale=scale, margin=margin)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@given(seeds, st.floats(0, 1.5), st.floats(1, 64))
@settings(deadline=None, max_examples=50)
def test_arcface_is_the_code_of_its_authors(seed, margin, scale):
    """A transcription of deepinsight/insightface, `train_softmax.py`."""
    rng = np.random.default_rng(seed)
    cosine = rng.uniform(-1, 1, (N, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, N)
    expected = scale * cosine.astype(float)
    for row, label in enumerate(labels):
        cos_t = expected[row, label] / scale
        if cos_t - math.cos(math.pi - margin) > 0:
            sin_t = math.sqrt(1 - cos_t * cos_t)
            new = scale * (cos_t * math.cos(margin) - sin_t * math.sin(margin))
        else:
            new = scale * cos_t - scale * math.sin(math.pi - margin) * margin
        expected[row, label] = new
    found = losses.arcface_logits(
        jnp.asarray(cosine), jnp.asarray(labels), scale=scale, margin=margin
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_without_a_margin_it_is_the_cross_entropy_of_scaled_cosines(seed):
    rng = np.random.default_rng(seed)
    cosine = jnp.asarray(rng.uniform(-1, 1, (N, CLASSES)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, CLASSES, N))
    found = losses.arcface(cosine, labels, scale=30.0, margin=0.0)
    log_p = jax.nn.log_softmax(30 * cosine)
    assert float(found) == pytest.approx(
        -float(log_p[jnp.arange(N), labels].mean()), rel=1e-5, abs=1e-6
    )


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_the_logit_falls_with_the_angle(margin):
    cosine = jnp.cos(jnp.linspace(0, math.pi, 1001))[:, None]
    logits = losses.arcface_logits(
        cosine, jnp.zeros(1001, jnp.int32), scale=1.0, margin=margin
    )
    steps = np.diff(logits[:, 0])
    assert (steps < 1e-6).all() and (steps < 0).mean() > 0.95
    inside = np.linspace(0, math.pi, 1001) + margin < math.pi
    expected = np.cos(np.linspace(0, math.pi, 1001) + margin)
    np.testing.assert_allclose(logits[inside, 0], expected[inside], atol=1e-3)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([-1.0, 1.0, -1.0000001, 1.0000001]),
            st.floats(-1, 1, width=32),
        ),
        min_size=N,
        max_size=N,
    )
)
@settings(deadline=None)
def test_gradients_of_arcface_are_finite(values):
    cosine = jnp.asarray(np.stack([values, np.zeros(N)], axis=1), jnp.float32)
    value, gradient = arcface_gradient(cosine, jnp.zeros(N, jnp.int32))
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert (gradient[:, 0] <= 0).all() and (gradient[:, 1] >= 0).all()


def test_batch_hard_is_that_of_others(golden):
    vectors, labels, _ = golden
    vectors, labels = jnp.asarray(vectors, jnp.float32), jnp.asarray(labels)
    found = losses.batch_hard_triplet(vectors, labels)
    assert float(found) == pytest.approx(0.9520749941386913, rel=1e-5)


def test_pairs_of_one_identity_are_those_of_others(golden):
    vectors, labels, _ = golden
    vectors, labels = jnp.asarray(vectors, jnp.float32), jnp.asarray(labels)
    found = losses.contrastive(vectors, labels, margin=0.0)
    mean, same, pairs = 1.9437472591510945, 12, 66  # theirs is the mean of d^2
    assert float(found) == pytest.approx(mean / 2 * same / pairs, rel=1e-5)


@given(seeds, st.sampled_from([0.2, 1.0, 2.0]))
@settings(deadline=None, max_examples=50)
def test_contrastive_spelled_out(seed, margin):
    vectors, labels, mask = batch(seed)
    distances = distances_of(vectors)
    costs = []
    for i, j in itertools.combinations(np.flatnonzero(mask), 2):
        d = distances[i, j]
        same = labels[i] == labels[j]
        costs.append(d**2 / 2 if same else max(0, margin - d) ** 2 / 2)
    check("contrastive", seed, margin, costs)


@given(seeds, st.sampled_from([0.2, 1.0, 2.0]))
@settings(deadline=None, max_examples=50)
def test_batch_hard_is_the_worst_of_all_triplets(seed, margin):
    vectors, labels, mask = batch(seed)
    distances = distances_of(vectors)
    costs = {}
    for a, p, n in itertools.permutations(np.flatnonzero(mask), 3):
        if labels[a] == labels[p] != labels[n]:
            cost = max(0, margin + distances[a, p] - distances[a, n])
            costs[a] = max(costs.get(a, 0), cost)
    check("batch_hard", seed, margin, list(costs.values()))


@given(seeds, st.sampled_from([0.2, 1.0, 2.0]))
@settings(deadline=None, max_examples=50)
def test_semi_hard_spelled_out(seed, margin):
    vectors, labels, mask = batch(seed)
    squares = distances_of(vectors) ** 2
    rows, costs = np.flatnonzero(mask), []
    for a, p in itertools.permutations(rows, 2):
        negatives = [squares[a, n] for n in rows if labels[n] != labels[a]]
        if labels[a] != labels[p] or not negatives:
            continue
        beyond = [n for n in negatives if n > squares[a, p] + 1e-6]
        chosen = min(beyond) if beyond else max(negatives)
        costs.append(max(0, margin + squares[a, p] - chosen))
    check("semi_hard", seed, margin, costs)


def check(name, seed, margin, costs):
    """The loss is the mean of the costs, and padding is of no matter."""
    vectors, labels, mask = batch(seed)
    for hidden in (0.0, 5.0):
        rows = np.where(mask[:, None] > 0, vectors, hidden).astype(np.float32)
        found = METRIC_LOSSES[name](
            jnp.asarray(rows), jnp.asarray(labels), jnp.asarray(mask), margin=margin
        )
        expected = np.mean(costs) if costs else 0
        # In float32 the distance of two equal vectors is up to 1e-3.
        assert float(found) == pytest.approx(expected, abs=1e-3)


def test_padding_does_not_count_in_arcface():
    rng = np.random.default_rng(0)
    cosine = jnp.asarray(rng.uniform(-1, 1, (N, CLASSES)), jnp.float32)
    labels, mask = jnp.zeros(N, jnp.int32), jnp.arange(N) < 5
    found = losses.arcface(cosine, labels, mask.astype(jnp.float32))
    expected = losses.arcface(cosine[:5], labels[:5])
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("loss", METRIC_LOSSES.values(), ids=METRIC_LOSSES)
def test_gradients_are_finite_where_embeddings_are_alike_or_zero(loss):
    vectors = jnp.zeros((N, 3)).at[:3].set(1.0).at[3:5].set(-1.0)
    labels = jnp.asarray([0, 0, 1, 0, 1, 0, 1])
    value, gradient = jax.value_and_grad(loss)(vectors, labels)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.full
@pytest.mark.parametrize("loss", METRIC_LOSSES.values(), ids=METRIC_LOSSES)
def test_descent_brings_identities_together(loss):
    vectors = jax.random.normal(jax.random.key(0), (12, 4))
    labels = jnp.repeat(jnp.arange(3), 4)

    @jax.jit
    def step(vectors):
        gradient = jax.grad(loss)(vectors, labels, margin=0.8)
        return vectors - 0.1 * gradient / (jnp.linalg.norm(gradient) + 1e-6)

    for _ in range(200):
        vectors = step(vectors)
    distances = distances_of(np.asarray(vectors))
    same = labels[:, None] == labels
    assert distances[same].max() < distances[~same].min()
