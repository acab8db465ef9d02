"""How much a network's features say, without training it any further.

The features are those of the last map, averaged over space. What is fitted to the
training examples' features is scikit-learn's.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Features = Float[np.ndarray, "examples features"]
Labels = Int[np.ndarray, " examples"]

NEIGHBORS, TEMPERATURE = 20, 0.07
STRENGTHS = 10.0 ** np.arange(-4, 3)


def linear(features: Features, labels: Labels) -> Callable[[Features], Labels]:
    """Logistic regression on standardized features: a linear probe.

    The strength of the regularization is the best of `STRENGTHS` in five-fold
    cross-validation of the training examples (as many folds as the smallest class has
    examples, where these are fewer, and a strength of 1 where that is one).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = min(5, np.unique(labels, return_counts=True)[1].min())
    if folds > 1:
        grid = {"logisticregression__C": STRENGTHS}
        model = GridSearchCV(model, grid, cv=folds)
    return model.fit(features, labels).predict


def nearest(features: Features, labels: Labels) -> Callable[[Features], Labels]:
    """The vote of the 20 nearest examples by cosine similarity s, each with the weight
    exp(s / 0.07) (Wu et al. 2018, section 3.4)."""
    from sklearn.neighbors import KNeighborsClassifier

    return (
        KNeighborsClassifier(
            min(NEIGHBORS, len(labels)),
            metric="cosine",
            weights=lambda distances: np.exp((1 - distances) / TEMPERATURE),
        )
        .fit(features, labels)
        .predict
    )


PROBES = {"linear": linear, "knn": nearest}
