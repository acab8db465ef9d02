"""What does each branch of an inception block add?

The lecture, after Szegedy et al. 2015: windows of several sizes in parallel, with 1x1
convolutions before the large windows to save operations.

    python -m cnn_jax.sweep --config=experiments/inception.py
    python -m cnn_jax.sweep --config=experiments/inception.py:cifar10
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    config = recipes.experiment(arg)
    config.model.layer = "inception"
    config.model.reduction = 0.5
    return config


def sweep():
    yield "all branches", {}
    yield "all, without reduction", {"model.reduction": None}
    for branch in ("1x1", "3x3", "5x5", "pool"):
        yield f"{branch} alone", {"model.branches": (branch,)}
