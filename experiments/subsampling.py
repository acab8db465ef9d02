"""How many pixels can be thrown away before an object is not recognized any more?

The lecture: subsampling pixels does not change the object, and makes networks smaller;
it shows images of which 75, 50, 20 and 10% are left.

    python -m cnn_jax.sweep --config=experiments/subsampling.py
    python -m cnn_jax.sweep --config=experiments/subsampling.py:cifar10

On the digits (three seeds, five minutes on two cores) a grid of half of the pixels
costs nothing that is shown (95.2% of 95.4%), of a quarter 2.3 points, of a tenth 14.7;
random pixels cost the convolutional network more (5.0, 5.2 and 18.3), since what it
shares over space finds other pixels everywhere, and the perceptron less (1.3, 3.8 and
12.1).
"""

from cnn_jax.training import recipes

PERCENT = (100, 75, 50, 25, 20, 10)
# A grid of pixels, as striding leaves it; and pixels drawn once at random, the others
# black. A perceptron gives each pixel weights of its own.
NETWORKS = {"CNN": {}, "MLP": {"model.name": "mlp", "model.hidden": (128,)}}


def get_config(arg=None):
    config = recipes.experiment(arg)
    # Of 10% of the digits' pixels 5x5 are left: one subsampling layer is enough.
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
