"""How much accuracy do fire modules keep, and with how many parameters?

The lecture, after SqueezeNet (Iandola et al. 2016): a tenth of the parameters in a
layer, and AlexNet's accuracy with 50 times fewer parameters in the whole network.

    python -m cnn_jax.sweep --config=experiments/fire.py
    python -m cnn_jax.sweep --config=experiments/fire.py:cifar10

Convolutions reach 97.6% on the digits (three seeds, two minutes on two cores). Fire
modules with a fifth and a ninth of the parameters lose 4.5 and 8.1 points, separable
convolutions with a sixth 2.3 points. Each difference by itself is more than chance;
among several comparisons they may be chance.
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
