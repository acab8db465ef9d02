"""How well embeddings tell identities apart: verification and identification.

Verification compares two pictures and says whether they show the same identity: of
genuine pairs they do, of impostor pairs not. Identification compares a picture, the
probe, with a gallery of known ones. A similarity is the cosine of the angle between two
embeddings.
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
MOST = 10_000  # pictures: all their pairs take about two GiB


def cosine_similarities(embeddings: Embeddings) -> Similarities:
    """Between all pairs of n embeddings: n^2 numbers.

    An embedding that is no finite number is at -1 from all others, and one of zeros
    at 0.
    """
    finite = np.isfinite(embeddings).all(1)
    embeddings = np.where(finite[:, None], embeddings, 0)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(lengths, np.finfo(embeddings.dtype).tiny)
    similarities = unit @ unit.T
    similarities[~finite, :] = similarities[:, ~finite] = -1
    return similarities


def check_count(n: int) -> None:
    """Raises `UserError` for more pictures than can be compared with each other."""
    if n > MOST:
        raise UserError(
            f"{n:,} pictures are too many to compare all with all: up to {MOST:,} are "
            f"possible, for example with data.test_examples={MOST}."
        )


def all_pairs(n: int) -> tuple[Indices, Indices]:
    """The indices i < j of all n (n - 1) / 2 pairs."""
    return np.triu_indices(n, 1)


@dataclass(frozen=True)
class Roc:
    """How many pairs are accepted, at each threshold of the similarity.

    Attributes:
      far: the share of impostor pairs at or above the threshold (false accept rate).
      tar: that of genuine pairs (true accept rate).
      thresholds: falling, from infinity, which accepts none, to one that accepts all.
      impostors: how many impostor pairs there are.
    """

    far: Points
    tar: Points
    thresholds: Points
    impostors: int

    @property
    def auc(self) -> float:
        """The area under the curve: the probability that a genuine pair is more alike
        than an impostor one, ties counting half."""
        from sklearn.metrics import auc

        return float(auc(self.far, self.tar))

    @property
    def equal_error_rate(self) -> float:
        """Where as large a share of impostors is accepted as of genuine pairs refused;
        between two thresholds on the line between their points."""
        excess = self.far + self.tar - 1  # from -1 to 1, never falling
        after = int(np.argmax(excess >= 0))
        before = after - 1
        weight = -excess[before] / (excess[after] - excess[before])
        return float(self.far[before] + weight * (self.far[after] - self.far[before]))

    def tar_at(self, far: float) -> float:
        """The largest true accept rate of all thresholds at which the false accept
        rate is at most `far`."""
        return float(self.tar[self.far <= far].max())

    def best_accuracy(self) -> tuple[float, float]:
        """The largest balanced accuracy, (tar + 1 - far) / 2, and its threshold.

        Genuine and impostor pairs count half each, however many there are: as in
        Labeled Faces in the Wild, which has as many of one as of the other (Huang et
        al. 2007). The threshold is chosen on the pairs themselves.
        """
        balanced = (self.tar + 1 - self.far) / 2
        best = 1 + int(np.argmax(balanced[1:]))  # the first accepts none
        return float(balanced[best]), float(self.thresholds[best])


def roc(
    similarities: Float[np.ndarray, " pairs"], genuine: Bool[np.ndarray, " pairs"]
) -> Roc:
    """The curve of pairs with these similarities.

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
    """Numbers of the curve by name.

    `auc`, `equal_error_rate`, `balanced_accuracy` and its `threshold`, and for each of
    `rates` that allows at least one false accept, `tar_at_far_<rate>`.
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
    """Which pictures are the first `photos` of their identity, in their order."""
    enrolled = np.zeros(len(identities), bool)
    for identity in np.unique(identities):
        enrolled[np.flatnonzero(identities == identity)[:photos]] = True
    return enrolled


def rank_1(
    similarities: Similarities, identities: Identities, photos: int = 1
) -> float:
    """Closed-set identification: the share of probes whose nearest picture in the
    gallery is one of their own identity.

    The gallery holds the first `photos` of every identity, and all others are probes. A
    tie with another identity counts as wrong.

    Raises:
      UserError: no identity has more than `photos` pictures.
    """
    enrolled = gallery(identities, photos)
    right, _ = _candidates(similarities, identities, ~enrolled, enrolled)
    if not len(right):
        raise UserError(
            f"no identity has more than {photos} pictures: nobody is left to identify."
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
    """Open-set identification, where a probe may be of nobody in the gallery.

    The gallery holds the first `photos` of each identity in `known`; all others of
    those are mated probes, and all pictures of the other identities non-mated ones. A
    probe whose nearest picture in the gallery is at or above the threshold raises an
    alarm. With the false positive identification rate (FPIR), the share of non-mated
    probes that do, the detection and identification rate (DIR) is the share of mated
    ones that do, for their own identity (Phillips et al. 2011; Grother and Ngan 2014,
    NIST IR 8009: one less the FNIR at rank 1).

    Returns:
      For each of `rates`, which are below 1, that allows at least one false alarm,
      `dir_at_fpir_<rate>` and `threshold_at_fpir_<rate>`: of all thresholds with at
      most that FPIR the lowest, and the DIR there.

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
    """Of each probe, whether its nearest in the gallery is its own, and how near."""
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
    """Which impostor pairs are most alike, and which genuine ones least: indices of up
    to `count` of each, the worst first."""
    impostor, mate = np.flatnonzero(~genuine), np.flatnonzero(genuine)
    most = impostor[np.argsort(-similarities[impostor], kind="stable")]
    least = mate[np.argsort(similarities[mate], kind="stable")]
    return most[:count], least[:count]
