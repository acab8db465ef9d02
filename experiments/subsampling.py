"""How many pixels can be removed before objects are no longer recognized?

The lecture: subsampling pixels does not change the object, and makes networks smaller.
The lecture shows images with 75, 50, 20 and 10% of their pixels.

    python -m cnn_jax.sweep --config=experiments/subsampling.py
    python -m cnn_jax.sweep --config=experiments/subsampling.py:cifar10
"""

from cnn_jax.training import recipes

PERCENT = (100, 75, 50, 25, 20, 10)
# The pixels are a regular grid, as strides leave it, or are drawn once at random, with
# all other pixels black. A perceptron has separate weights for each pixel.
NETWORKS = {"CNN": {}, "MLP": {"model.name": "mlp", "model.hidden": (128,)}}


def get_config(arg=None):
    config = recipes.experiment(arg)
    # 10% of the digits' pixels are 5x5 pixels: one subsampling layer is enough.
    config.model.depth = 1
    return config


def sweep():
    for network, model in NETWORKS.items():
        whole = f"{network}, 100% grid"
        for keep in ("grid", "random"):
            for percent in PERCENT:
                if percent == 100 and keep == "random":
                    continue  # the same as the grid
                yield (
                    f"{network}, {percent}% {keep}",
                    model
                    | {
                        "data.keep_pixels": percent / 100,
                        "data.keep": keep,
                    },
                    whole if percent < 100 else None,
                )
