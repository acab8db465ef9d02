"""What does a 1x1 convolution before a 5x5 convolution cost, and what does it save?

The lecture: 32 maps of 28x28 with 5x5 windows over 192 channels take 120 million
multiplications; with 16 channels in between they take 12.4 million.

    python -m cnn_jax.sweep --config=experiments/bottleneck.py
    python -m cnn_jax.sweep --config=experiments/bottleneck.py:cifar10
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
