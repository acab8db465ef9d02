"""Are hand-made filters as good as learned filters in the first layer?

The lecture: Sobel's, Scharr's and other edge filters were made by hand; a convolutional
network learns its own. Here the filters are applied to the image first, followed by
normalization, and a fixed network learns from their outputs.

    python -m cnn_jax.sweep --config=experiments/filters.py
    python -m cnn_jax.sweep --config=experiments/filters.py:cifar10
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    config = recipes.experiment(arg)
    # Only one layer in each stage: more layers could make up for any filters.
    config.model.depth = 1
    return config


def sweep():
    def pair(name):
        return {"model.filters": (f"{name}_vertical", f"{name}_horizontal")}

    learned = {"model.learn_filters": True}
    yield "two learned", {"model.random_filters": 2} | learned
    yield "two random, fixed", {"model.random_filters": 2}
    yield "Sobel, fixed", pair("sobel")
    yield "Scharr, fixed", pair("scharr")
    yield "vertical and horizontal, fixed", pair("edge")
    yield "Sobel, learned from there", pair("sobel") | learned
    yield "no filters", {}
