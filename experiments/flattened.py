"""Can a convolution be taken apart into one-dimensional ones?

The lecture, after Jin et al. 2014: c x y x x convolutions are replaced by c x 1 x 1,
1 x y x 1 and 1 x 1 x x ones. The paper loses nothing on CIFAR-10 with a cascade of two
in the place of each.

    python -m cnn_jax.sweep --config=experiments/flattened.py
    python -m cnn_jax.sweep --config=experiments/flattened.py:cifar10

On the digits (three seeds, two minutes on two cores) flattened convolutions with a
fourteenth of the parameters reach 97.2% where the whole ones reach 99.1%: three seeds
do not tell these apart. Two in the place of each are no better: 96.5%, and 2.6 points
below the whole ones is more than chance.
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
