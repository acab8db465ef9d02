"""ROC and precision-recall curves of two classes, and the areas under the curves."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Points = Float[np.ndarray, " points"]


class Curves(NamedTuple):
    """The curves of a score that is greater for more probable positive examples.

    At each threshold, the examples with a score of at least the threshold are called
    positive. The thresholds are infinity, then the scores in falling order.

    Attributes:
      false_positive_rate: the share of the negative examples that are called positive.
      recall: the share of the positive examples that are called positive.
      precision: the share of positive examples among the examples that are called
        positive; 1 if no example is called positive.
    """

    false_positive_rate: Points
    recall: Points
    precision: Points

    @property
    def roc_auc(self) -> float:
        """The area under the ROC curve: recall over the false positive rate.

        The area is the probability that a random positive example has a greater score
        than a random negative example; equal scores count as one half.
        """
        return float(np.trapezoid(self.recall, self.false_positive_rate))

    @property
    def average_precision(self) -> float:
        """The area under the precision-recall curve, without interpolation.

        The area is the sum of the precision at each threshold, weighted by the increase
        in recall.
        """
        return float(np.diff(self.recall) @ self.precision[1:])


def curves(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> Curves | None:
    """Returns the curves of a score.

    The result is None if a score is not finite, or if one of the classes has no
    example: the curves are not defined then.

    Args:
      scores: the score of each example.
      positive: whether each example belongs to the positive class.
    """
    if not np.isfinite(scores).all() or positive.all() or not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, own = scores[order], positive[order]
    # Examples with equal scores pass a threshold together.
    last = np.append(ranked[1:] != ranked[:-1], True)
    hits = np.cumsum(own)[last]
    called = np.flatnonzero(last) + 1
    false = called - hits
    return Curves(
        np.append(0.0, false / false[-1]),
        np.append(0.0, hits / hits[-1]),
        np.append(1.0, hits / called),
    )
