"""Verification and identification: how well embeddings tell identities apart.

Verification compares two pictures and decides whether they show the same identity. They
do in genuine pairs, and do not in impostor pairs. Identification compares a picture
(the probe) with a gallery of known pictures. A similarity is the cosine of the angle
between two embeddings.
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
    """Returns the cosine similarities of all pairs of n embeddings: n^2 numbers.

    An embedding with a NaN or an infinite value has a similarity of -1 to all others,
    and an embedding of zeros a similarity of 0.
    """
    finite = np.isfinite(embeddings).all(1)
    embeddings = np.where(finite[:, None], embeddings, 0)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, np.finfo(embeddings.dtype).tiny)
    similarities = unit @ unit.T
    similarities[~finite, :] = similarities[:, ~finite] = -1
    return similarities


def check_count(n: int) -> None:
    """Raises `UserError` if the pictures are too many to compare all pairs."""
    if n > MOST:
        raise UserError(
            f"{n:,} pictures are too many to compare all with all: the limit is "
            f"{MOST:,}. Set, for example, data.test_examples={MOST}."
        )


def all_pairs(n: int) -> tuple[Indices, Indices]:
    """Returns the indices i < j of all n (n - 1) / 2 pairs."""
    return np.triu_indices(n, 1)


@dataclass(frozen=True)
class Roc:
    """A ROC curve: the share of accepted pairs at each threshold of the similarity.

    Attributes:
      far: the false accept rate, the share of impostor pairs at or above the threshold.
      tar: the true accept rate, the share of genuine pairs at or above the threshold.
      thresholds: falling, from infinity (accepts no pair) to a threshold that accepts
        all pairs.
      impostors: the number of impostor pairs.
    """

    far: Points
    tar: Points
    thresholds: Points
    impostors: int

    @property
    def auc(self) -> float:
        """The area under the curve.

        It is the probability that a genuine pair is more similar than an impostor pair;
        ties count half.
        """
        from sklearn.metrics import auc

        return float(auc(self.far, self.tar))

    @property
    def equal_error_rate(self) -> float:
        """The error rate where the false accept rate equals the false reject rate.

        Between two thresholds it is interpolated linearly.
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

        Genuine and impostor pairs count half each, whatever their numbers. Labeled
        Faces in the Wild has equal numbers of both (Huang et al. 2007). The threshold
        is chosen on the evaluated pairs themselves.
        """
        balanced = (self.tar + 1 - self.far) / 2
        best = 1 + int(np.argmax(balanced[1:]))  # the first threshold accepts no pair
        return float(balanced[best]), float(self.thresholds[best])


def roc(
    similarities: Float[np.ndarray, " pairs"], genuine: Bool[np.ndarray, " pairs"]
) -> Roc:
    """Returns the ROC curve of pairs with these similarities.

    Raises:
      UserError: there is no genuine pair, or no impostor pair.
    """
    from sklearn.metrics import roc_curve

    impostors = int(np.sum(~genuine))
    if impostors in (0, len(genuine)):
        missing = "of different identities" if genuine.any() else "of one identity"
        raise UserError(f"no two pictures are {missing}: nothing can be verified.")
    far, tar, thresholds = roc_curve(genuine, similarities, drop_intermediate=False)
    return Roc(far, tar, thresholds, impostors)


def verification_scores(curve: Roc, rates: Sequence[float] = RATES) -> dict[str, float]:
    """Returns the numbers of the curve by name.

    They are `auc`, `equal_error_rate`, `balanced_accuracy` and its `threshold`, and
    `tar_at_far_<rate>` for each of `rates` that allows at least one false accept.
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
    """Returns which pictures are among the first `photos` of their identity."""
    enrolled = np.zeros(len(identities), bool)
    for identity in np.unique(identities):
        enrolled[np.flatnonzero(identities == identity)[:photos]] = True
    return enrolled


def rank_1(
    similarities: Similarities, identities: Identities, photos: int = 1
) -> float:
    """Returns the rank-1 rate of closed-set identification.

    It is the share of probes whose nearest picture in the gallery has their own
    identity. The gallery holds the first `photos` pictures of every identity; all other
    pictures are probes. A tie with another identity counts as wrong.

    Raises:
      UserError: no identity has more than `photos` pictures.
    """
    enrolled = gallery(identities, photos)
    right, _ = _candidates(similarities, identities, ~enrolled, enrolled)
    if not len(right):
        raise UserError(
            f"no identity has more than {photos} pictures: no probe is left."
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

    The gallery holds the first `photos` pictures of each identity in `known`. The other
    pictures of these identities are mated probes. All pictures of all other identities
    are non-mated probes. A probe raises an alarm if its nearest picture in the gallery
    is at or above the threshold. The false positive identification rate (FPIR) is the
    share of non-mated probes that raise an alarm. The detection and identification rate
    (DIR) is the share of mated probes that raise an alarm for their own identity
    (Phillips et al. 2011; Grother and Ngan 2014, NIST IR 8009: DIR is 1 minus the FNIR
    at rank 1).

    Args:
      rates: rates of false alarms, below 1.

    Returns:
      For each of `rates` that allows at least one false alarm,
      `threshold_at_fpir_<rate>`, the lowest threshold with at most this FPIR, and
      `dir_at_fpir_<rate>`, the DIR at this threshold.

    Raises:
      UserError: there are no mated or no non-mated probes.
    """
    is_known = np.isin(identities, known)
    enrolled = gallery(identities, photos) & is_known
    mated = is_known & ~enrolled
    if not mated.any() or is_known.all():
        missing = "mated" if not mated.any() else "non-mated"
        raise UserError(f"there are no {missing} probes for open-set identification.")
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
    """Returns for each probe whether its nearest picture in the gallery has its own
    identity, and the similarity to this picture."""
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
    """Returns the indices of the hardest pairs, the worst first.

    They are the `count` most similar impostor pairs and the `count` least similar
    genuine pairs.
    """
    impostor, mate = np.flatnonzero(~genuine), np.flatnonzero(genuine)
    most = impostor[np.argsort(-similarities[impostor], kind="stable")]
    least = mate[np.argsort(similarities[mate], kind="stable")]
    return most[:count], least[:count]
