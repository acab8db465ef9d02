"""Verification and identification against their definitions, by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import verification

# Coarse, so that there are ties.
levels = st.integers(-5, 5).map(lambda k: k / 5)


@st.composite
def pairs(draw):
    """Similarities and which pairs are genuine, of both kinds at least one."""
    genuine = draw(st.lists(levels, min_size=1, max_size=20))
    impostor = draw(st.lists(levels, min_size=1, max_size=20))
    return np.array(genuine + impostor), np.repeat(
        [True, False], [len(genuine), len(impostor)]
    )


@st.composite
def tables(draw):
    """Symmetric similarities of nine pictures, and their identities."""
    upper = draw(arrays.arrays(float, (9, 9), elements=levels))
    similarities = np.triu(upper) + np.triu(upper, 1).T
    return similarities, draw(arrays.arrays(int, 9, elements=st.integers(0, 3)))


def rates(similarities, genuine):
    """(false accept rate, true accept rate) of every threshold that matters."""
    for threshold in [np.inf, *sorted(set(similarities), reverse=True)]:
        accepted = similarities >= threshold
        yield threshold, accepted[~genuine].mean(), accepted[genuine].mean()


@settings(max_examples=50, deadline=None)
@given(pairs())
def test_the_area_is_that_of_scikit_learn(drawn):
    similarities, genuine = drawn
    curve = verification.roc(similarities, genuine)
    assert curve.auc == pytest.approx(roc_auc_score(genuine, similarities))


@settings(max_examples=50, deadline=None)
@given(pairs())
def test_the_equal_error_rate_is_a_root(drawn):
    similarities, genuine = drawn
    curve = verification.roc(similarities, genuine)
    points = np.array([(far, tar) for _, far, tar in rates(similarities, genuine)])
    # The curve by its own length, since it may be vertical.
    place = np.linspace(0, 1, len(points))

    def excess(t):
        far, tar = (np.interp(t, place, points[:, axis]) for axis in (0, 1))
        return far + tar - 1

    root = brentq(excess, 0, 1, xtol=1e-14)
    expected = np.interp(root, place, points[:, 0])
    assert curve.equal_error_rate == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(pairs(), st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0]))
def test_rates_and_accuracy_are_the_best_of_all_thresholds(drawn, rate):
    similarities, genuine = drawn
    curve = verification.roc(similarities, genuine)
    found = list(rates(similarities, genuine))
    allowed = [tar for _, far, tar in found if far <= rate]
    assert curve.tar_at(rate) == pytest.approx(max(allowed))
    accuracy, threshold = curve.best_accuracy()
    assert accuracy == pytest.approx(max((tar + 1 - far) / 2 for _, far, tar in found))
    accepted = similarities >= threshold
    own = (accepted[genuine].mean() + (~accepted)[~genuine].mean()) / 2
    assert own == pytest.approx(accuracy)
    scores = verification.verification_scores(curve, [rate])
    assert (f"tar_at_far_{rate:g}" in scores) == (np.sum(~genuine) * rate >= 1)


def test_scores_by_name():
    """Four impostors; one of them is as like as the second of three genuine pairs."""
    similarities = np.array([0.9, 0.5, 0.4, 0.5, 0.1, 0.0, -0.2])
    curve = verification.roc(similarities, np.arange(7) < 3)
    assert verification.verification_scores(curve, (0.5, 0.25, 0.1)) == pytest.approx(
        {
            "auc": (4 + 3.5 + 3) / 12,
            # Between (0, 1/3) and (1/4, 2/3): 1/3 + 4/3 f = 1 - f beyond 1/4.
            "equal_error_rate": 0.25,
            "balanced_accuracy": (1 + 3 / 4) / 2,
            "threshold": 0.4,
            "tar_at_far_0.5": 1.0,
            "tar_at_far_0.25": 1.0,
        }
    )


@settings(max_examples=50, deadline=None)
@given(tables(), st.integers(1, 2))
def test_rank_1_spelled_out(drawn, photos):
    similarities, identities = drawn
    gallery, probes = [], []
    for i, identity in enumerate(identities):
        enrolled = sum(identities[j] == identity for j in gallery)
        (gallery if enrolled < photos else probes).append(i)
    if not probes:
        with pytest.raises(UserError, match=f"more than {photos} pictures"):
            verification.rank_1(similarities, identities, photos)
        return
    right = 0
    for probe in probes:
        best = max(similarities[probe, j] for j in gallery)
        nearest = {identities[j] for j in gallery if similarities[probe, j] == best}
        right += nearest == {identities[probe]}
    found = verification.rank_1(similarities, identities, photos)
    assert found == pytest.approx(right / len(probes))


@settings(max_examples=50, deadline=None)
@given(tables(), st.integers(1, 2), st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_open_set_spelled_out(drawn, photos, rate):
    similarities, identities = drawn
    known = np.array([0, 2])
    gallery, mated = [], []
    for i in np.flatnonzero(np.isin(identities, known)):
        enrolled = sum(identities[j] == identities[i] for j in gallery)
        (gallery if enrolled < photos else mated).append(i)
    others = np.flatnonzero(~np.isin(identities, known))
    if not mated or not len(others):
        with pytest.raises(UserError, match=r"no probe shows .*open-set"):
            verification.open_set_scores(similarities, identities, known, photos=photos)
        return
    best = similarities[:, gallery].max(1)
    options = {}
    for threshold in [-np.inf, *np.nextafter(np.unique(similarities), np.inf)]:
        if np.mean(best[others] >= threshold) <= rate:
            right = 0
            for probe in mated:
                row = similarities[probe, gallery]
                nearest = {
                    identities[j]
                    for j, value in zip(gallery, row, strict=True)
                    if value == row.max()
                }
                alarm = row.max() >= threshold
                right += alarm and nearest == {identities[probe]}
            options[threshold] = right / len(mated)
    found = verification.open_set_scores(
        similarities, identities, known, photos=photos, rates=[rate]
    )
    if rate * len(others) < 1:
        assert found == {}
        return
    # No threshold that may be taken finds more.
    assert found[f"dir_at_fpir_{rate:g}"] == pytest.approx(max(options.values()))
    threshold = found[f"threshold_at_fpir_{rate:g}"]
    assert np.mean(best[others] >= threshold) <= rate
    assert threshold == min(options)


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.float32, (4, 3), elements=st.floats(-100, 100, width=16)),
)
def test_similarities_are_cosines(embeddings):
    found = verification.cosine_similarities(embeddings)
    expected = cosine_similarity(embeddings.astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_no_number_is_unlike_everything():
    embeddings = np.eye(3, dtype=np.float32)
    embeddings[1, 0], embeddings[2, 2] = np.nan, np.inf
    found = verification.cosine_similarities(embeddings)
    np.testing.assert_array_equal(found, [[1, -1, -1], [-1, -1, -1], [-1, -1, -1]])


def test_hardest_pairs():
    similarities = np.array([0.9, 0.1, 0.8, 0.3, 0.2])
    genuine = np.array([True, True, False, False, False])
    impostors, mates = verification.hardest(similarities, genuine, 2)
    assert impostors.tolist() == [2, 3] and mates.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("genuine", "message"), [(True, "different identities"), (False, "the same ident")]
)
def test_pairs_of_one_kind_cannot_be_verified(genuine, message):
    with pytest.raises(UserError, match=message):
        verification.roc(np.zeros(3), np.full(3, genuine))
