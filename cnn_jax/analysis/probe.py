"""Probes: simple classifiers that measure the quality of a network's features.

The network is not trained further. The features of an image are its last feature map,
averaged over space. scikit-learn fits a classifier to the features of the training
examples.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Features = Float[np.ndarray, "examples features"]
Labels = Int[np.ndarray, " examples"]

NEIGHBORS, TEMPERATURE = 20, 0.07
STRENGTHS = 10.0 ** np.arange(-4, 3)


def linear(features: Features, labels: Labels) -> Callable[[Features], Labels]:
    """Returns a linear probe: logistic regression on standardized features.

    The regularization strength is the best of `STRENGTHS` in five-fold cross-validation
    on the training examples. If the smallest class has fewer than five examples, the
    number of folds is the number of its examples. If the smallest class has one
    example, the strength is 1.

    Args:
      features: the features of the training examples.
      labels: the classes of the training examples.

    Returns:
      A function from features to predicted classes.
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
    """Returns a k-nearest-neighbors probe (Wu et al. 2018, section 3.4).

    The 20 nearest training examples vote, each with the weight exp(s / 0.07) for a
    cosine similarity of s. See `linear` for the arguments and the result.
    """
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
