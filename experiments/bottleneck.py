"""What does a 1x1 convolution before a 5x5 one cost, and what does it save?

The lecture: 32 maps of 28x28 by 5x5 windows over 192 channels are 120 million
multiplications; through 16 channels in between they are 12.4 million.

    python -m cnn_jax.sweep --config=experiments/bottleneck.py
    python -m cnn_jax.sweep --config=experiments/bottleneck.py:cifar10

On the digits (three seeds, four minutes on two cores) a reduction to half costs half of
the operations and no accuracy that three seeds show (98.2% and 97.5%; twice as wide
98.5% and 97.4%). To a twelfth, as in the lecture, it saves 88 to 90% of the operations,
as there, but costs 12 points: two channels are left; twice as wide, with four, it costs
4.
"""

from cnn_jax.training import recipes

WIDTHS = {"narrow": (12, 24), "wide": (24, 48)}
REDUCTIONS = {"1-2": 1 / 2, "1-4": 1 / 4, "1-12": 1 / 12}  # 16 of 192 are a twelfth


def get_config(arg=None):
    config = recipes.experiment(arg)
    config.model.kernel_size = 5
    return config


def sweep():
    for name, widths in WIDTHS.items():
        whole = f"{name}, 5x5"
        yield whole, {"model.widths": widths}, None
        for share, reduction in REDUCTIONS.items():
            yield (
                f"{name}, 1x1 to {share}",
                {
                    "model.widths": widths,
                    "model.layer": "bottleneck",
                    "model.reduction": reduction,
                },
                whole,
            )
