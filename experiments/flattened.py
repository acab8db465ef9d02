"""Can one-dimensional convolutions replace a two-dimensional convolution?

The lecture, after Jin et al. 2014: c x 1 x 1, 1 x y x 1 and 1 x 1 x x convolutions
replace c x y x x convolutions. The paper loses no accuracy on CIFAR-10 with a cascade
of two such layers for each convolution.

    python -m cnn_jax.sweep --config=experiments/flattened.py
    python -m cnn_jax.sweep --config=experiments/flattened.py:cifar10
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    config = recipes.experiment(arg)
    config.model.kernel_size = 5
    return config


def sweep():
    yield "convolution", {}
    yield "flattened", {"model.layer": "flattened"}
    yield "flattened, twice as deep", {"model.layer": "flattened", "model.depth": 4}
    yield "separable", {"model.layer": "separable"}
