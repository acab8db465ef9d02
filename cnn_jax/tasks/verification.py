"""Verification and identification: how well embeddings tell identities apart.

Verification compares two pictures and decides whether both show the same identity. The
two pictures of a genuine pair show the same identity; the pictures of an impostor pair
show different identities. Identification compares a picture (the probe) with a gallery
of known pictures. A similarity is the cosine of the angle between two embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cnn_jax.core.errors import UserError

Embeddings = Float[np.ndarray, "n features"]
Identities = Int[np.ndarray, " n"]
Similarities = Float[np.ndarray, "n n"]
Indices = Int[np.ndarray, " pairs"]
Points = Float[np.ndarray, " points"]

RATES = (0.1, 0.01, 0.001)
MOST = 10_000  # pictures; the similarities of all their pairs take about two GiB


def cosine_similarities(embeddings: Embeddings) -> Similarities:
    """Returns the matrix of the cosine similarities of all pairs of n embeddings.

    An embedding with a NaN or an infinite value has a similarity of -1 to all
    embeddings. An embedding of zeros has a similarity of 0 to all other embeddings.
    """
    finite = np.isfinite(embeddings).all(1)
    embeddings = np.where(finite[:, None], embeddings, 0)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, np.finfo(embeddings.dtype).tiny)
    similarities = unit @ unit.T
    similarities[~finite, :] = similarities[:, ~finite] = -1
    return similarities


def check_count(n: int) -> None:
    """Raises `UserError` if n pictures are too many to compare all pairs."""
    if n > MOST:
        raise UserError(
            f"{n:,} pictures are too many to compare all pairs: the limit is {MOST:,} "
            f"pictures. Set, for example, config.data.test_examples={MOST}."
        )


def all_pairs(n: int) -> tuple[Indices, Indices]:
    """Returns the first and the second index of all pairs of n pictures.

    The first index of a pair is smaller than the second, so there are n (n - 1) / 2
    pairs.
    """
    return np.triu_indices(n, 1)


@dataclass(frozen=True)
class Roc:
    """A ROC curve: the shares of accepted pairs at each threshold of the similarity.

    A pair is accepted if its similarity is at least the threshold.

    Attributes:
      far: the false accept rate at each threshold: the share of impostor pairs that are
        accepted.
      tar: the true accept rate at each threshold: the share of genuine pairs that are
        accepted.
      thresholds: the thresholds in falling order, from infinity (accepts no pair) to a
        threshold that accepts all pairs.
      impostors: the number of impostor pairs.
    """

    far: Points
    tar: Points
    thresholds: Points
    impostors: int

    @property
    def auc(self) -> float:
        """The area under the curve.

        The area is the probability that a random genuine pair is more similar than a
        random impostor pair; equal similarities count as one half.
        """
        from sklearn.metrics import auc

        return float(auc(self.far, self.tar))

    @property
    def equal_error_rate(self) -> float:
        """The error rate where the false accept rate equals the false reject rate.

        Between two thresholds, the rates are interpolated linearly.
        """
        excess = self.far + self.tar - 1  # from -1 to 1, never falling
        after = int(np.argmax(excess >= 0))
        before = after - 1
        weight = -excess[before] / (excess[after] - excess[before])
        return float(self.far[before] + weight * (self.far[after] - self.far[before]))

    def tar_at(self, far: float) -> float:
        """Returns the largest true accept rate over all thresholds with a false accept
        rate of at most `far`."""
        return float(self.tar[self.far <= far].max())

    def best_accuracy(self) -> tuple[float, float]:
        """Returns the best balanced accuracy, (tar + 1 - far) / 2, and its threshold.

        Balanced accuracy is the mean of the accuracy on genuine pairs and the accuracy
        on impostor pairs, so their numbers do not matter. In Labeled Faces in the Wild,
        which has as many genuine as impostor pairs, it equals accuracy (Huang et al.
        2007). The threshold is chosen on the evaluated pairs themselves.
        """
        balanced = (self.tar + 1 - self.far) / 2
        best = 1 + int(np.argmax(balanced[1:]))  # the first threshold accepts no pair
        return float(balanced[best]), float(self.thresholds[best])


def roc(
    similarities: Float[np.ndarray, " pairs"], genuine: Bool[np.ndarray, " pairs"]
) -> Roc:
    """Returns the ROC curve of pairs of pictures.

    Args:
      similarities: the similarity of each pair.
      genuine: whether the two pictures of each pair show the same identity.

    Raises:
      UserError: there is no genuine pair, or no impostor pair.
    """
    from sklearn.metrics import roc_curve

    impostors = int(np.sum(~genuine))
    if impostors in (0, len(genuine)):
        missing = "different identities" if genuine.any() else "the same identity"
        raise UserError(
            f"no two pictures show {missing}: verification cannot be measured."
        )
    far, tar, thresholds = roc_curve(genuine, similarities, drop_intermediate=False)
    return Roc(far, tar, thresholds, impostors)


def verification_scores(curve: Roc, rates: Sequence[float] = RATES) -> dict[str, float]:
    """Returns the scores of a ROC curve by name.

    The scores are `auc`, `equal_error_rate`, `balanced_accuracy` and its `threshold`,
    and `tar_at_far_<rate>` for each rate in `rates`. A rate that is too small for a
    single false accept among all impostor pairs is left out.

    Args:
      curve: the ROC curve.
      rates: false accept rates.
    """
    accuracy, threshold = curve.best_accuracy()
    return {
        "auc": curve.auc,
        "equal_error_rate": curve.equal_error_rate,
        "balanced_accuracy": accuracy,
        "threshold": threshold,
    } | {
        f"tar_at_far_{rate:g}": curve.tar_at(rate)
        for rate in rates
        if 1 / curve.impostors <= rate
    }


def gallery(identities: Identities, photos: int = 1) -> Bool[np.ndarray, " n"]:
    """Returns True for the first `photos` pictures of each identity.

    Args:
      identities: the identity of each picture.
      photos: the number of pictures of each identity in the gallery.
    """
    enrolled = np.zeros(len(identities), bool)
    for identity in np.unique(identities):
        enrolled[np.flatnonzero(identities == identity)[:photos]] = True
    return enrolled


def rank_1(
    similarities: Similarities, identities: Identities, photos: int = 1
) -> float:
    """Returns the rank-1 rate of closed-set identification.

    The gallery contains the first `photos` pictures of every identity; all other
    pictures are probes. The rank-1 rate is the share of probes that are identified
    correctly: the nearest picture in the gallery shows the identity of the probe. If a
    picture of another identity is equally near, the probe counts as wrong.

    Args:
      similarities: the matrix of the similarities of all pictures.
      identities: the identity of each picture.
      photos: the number of pictures of each identity in the gallery.

    Raises:
      UserError: no identity has more than `photos` pictures.
    """
    enrolled = gallery(identities, photos)
    right, _ = _candidates(similarities, identities, ~enrolled, enrolled)
    if not len(right):
        raise UserError(
            f"no identity has more than {photos} pictures, so all pictures are in the "
            "gallery and identification cannot be measured: set config.task.photos "
            "lower, or add pictures."
        )
    return float(right.mean())


def open_set_scores(
    similarities: Similarities,
    identities: Identities,
    known: Int[np.ndarray, " identities"],
    *,
    photos: int = 1,
    rates: Sequence[float] = RATES,
) -> dict[str, float]:
    """Returns the scores of open-set identification, where a probe may be unknown.

    The gallery contains the first `photos` pictures of each identity in `known`. The
    other pictures of these identities are mated probes. All pictures of all other
    identities are non-mated probes. A probe raises an alarm if its similarity to the
    nearest picture in the gallery is at least the threshold. The false positive
    identification rate (FPIR) is the share of non-mated probes that raise an alarm. The
    detection and identification rate (DIR) is the share of mated probes that raise an
    alarm and whose nearest picture shows their own identity (Phillips et al. 2011). The
    DIR is 1 minus the false negative identification rate at rank 1 of Grother and Ngan
    (2014, NIST IR 8009).

    Args:
      similarities: the matrix of the similarities of all pictures.
      identities: the identity of each picture.
      known: the identities in the gallery.
      photos: the number of pictures of each known identity in the gallery.
      rates: values of the FPIR, below 1.

    Returns:
      Two scores for each rate in `rates`: `threshold_at_fpir_<rate>` is the lowest
      threshold at which the FPIR is at most the rate, and `dir_at_fpir_<rate>` is the
      DIR at this threshold. A rate below 1 / (number of
      non-mated probes) cannot be measured, and is left out.

    Raises:
      UserError: there are no mated or no non-mated probes.
    """
    is_known = np.isin(identities, known)
    enrolled = gallery(identities, photos) & is_known
    mated = is_known & ~enrolled
    if not mated.any() or is_known.all():
        missing = "in the gallery" if not mated.any() else "outside of the gallery"
        raise UserError(
            f"no probe shows an identity {missing}: open-set identification cannot be "
            "measured."
        )
    right, score = _candidates(similarities, identities, mated, enrolled)
    _, alarm = _candidates(similarities, identities, ~is_known, enrolled)
    alarm, found = np.sort(alarm)[::-1], {}
    for rate in rates:
        allowed = int(np.sum(np.arange(1, len(alarm) + 1) / len(alarm) <= rate))
        if allowed:
            threshold = np.nextafter(alarm[allowed], np.inf)
            detected = right & (score >= threshold)
            found[f"dir_at_fpir_{rate:g}"] = float(detected.mean())
            found[f"threshold_at_fpir_{rate:g}"] = float(threshold)
    return found


def _candidates(
    similarities: Similarities,
    identities: Identities,
    probes: Bool[np.ndarray, " n"],
    enrolled: Bool[np.ndarray, " n"],
) -> tuple[Bool[np.ndarray, " probes"], Float[np.ndarray, " probes"]]:
    """Compares each probe with its nearest picture in the gallery.

    Args:
      similarities: the matrix of the similarities of all pictures.
      identities: the identity of each picture.
      probes: True for each picture that is a probe.
      enrolled: True for each picture in the gallery.

    Returns:
      For each probe, whether the nearest picture shows the probe's identity, and the
      similarity to the nearest picture.
    """
    table = similarities[probes][:, enrolled]
    own = identities[probes][:, None] == identities[enrolled]
    best_own = np.where(own, table, -np.inf).max(1, initial=-np.inf)
    best_other = np.where(own, -np.inf, table).max(1, initial=-np.inf)
    return best_own > best_other, np.maximum(best_own, best_other)


def hardest(
    similarities: Float[np.ndarray, " pairs"],
    genuine: Bool[np.ndarray, " pairs"],
    count: int,
) -> tuple[Int[np.ndarray, " impostors"], Int[np.ndarray, " mates"]]:
    """Returns the indices of the hardest impostor pairs and the hardest genuine pairs.

    The hardest impostor pairs are the most similar; the hardest genuine pairs are the
    least similar. In both results the hardest pair is first.

    Args:
      similarities: the similarity of each pair.
      genuine: whether the two pictures of each pair show the same identity.
      count: the greatest number of pairs in each result.
    """
    impostor, mate = np.flatnonzero(~genuine), np.flatnonzero(genuine)
    most = impostor[np.argsort(-similarities[impostor], kind="stable")]
    least = mate[np.argsort(similarities[mate], kind="stable")]
    return most[:count], least[:count]
