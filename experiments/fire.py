"""How much accuracy do fire modules keep, and with how many parameters?

The lecture, after SqueezeNet (Iandola et al. 2016): a tenth of the parameters in a
layer, and AlexNet's accuracy with 50 times fewer parameters in the whole network.

    python -m cnn_jax.sweep --config=experiments/fire.py
    python -m cnn_jax.sweep --config=experiments/fire.py:cifar10
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    return recipes.experiment(arg)


def sweep():
    yield "convolution", {}
    for share, reduction in {"1-2": 1 / 2, "1-4": 1 / 4, "1-8": 1 / 8}.items():
        yield (
            f"fire, squeeze to {share}",
            {
                "model.layer": "fire",
                "model.reduction": reduction,
            },
        )
    yield "separable", {"model.layer": "separable"}
