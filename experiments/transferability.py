"""Does the ranking of settings on the digits predict their ranking on photos?

Experiments on embedded digits take seconds. They are useful for photos only if the
better setting on the digits is also the better one on photos. Here eight settings from
the other experiments are trained on both. The report adds Kendall's tau of the two
rankings: 1 if they agree, 0 if they are unrelated, -1 if one is the reverse.

    python -m cnn_jax.sweep --config=experiments/transferability.py

The data are 256 training digits, and 5,000 training photos of CIFAR-10 (`tfds:cifar10`)
at 16x16 pixels. Training takes 800 steps of 64 images on both.
"""

from cnn_jax.sweeps.statistics import rankings
from cnn_jax.training import recipes

DIGITS, PHOTOS = "digits", "CIFAR-10"
# Settings of the experiments pooling, depth_width, flattened and bottleneck.
SETTINGS = {
    "baseline": {},
    "average pooling": {"model.subsample": "average"},
    "strided convolution": {"model.subsample": "strided"},
    "half the width": {"model.widths": (8, 16)},
    "one layer a stage": {"model.depth": 1},
    "5x5 kernels": {"model.kernel_size": 5},
    "separable": {"model.layer": "separable"},
    "fully connected head": {"model.head": "flatten_fc", "model.head_width": (128,)},
}


def get_config(arg=None):
    config = recipes.few_cifar10()
    config.model.widths = (16, 32)
    config.schedule = {"name": "cosine", "warmup_steps": 80}
    config.train = {"steps": 800}
    config.eval = {"every_steps": 100}
    return config


def sweep():
    on_digits = {
        "data.name": "digits",
        "data.train_examples": 256,
        "data.val": 0.1,
        "data.augmentations": ("crop(padding=2)",),
    }
    for data, values in ((PHOTOS, {}), (DIGITS, on_digits)):
        for name, setting in SETTINGS.items():
            base = f"{data}, baseline"
            arm = f"{data}, {name}"
            yield arm, values | setting, None if arm == base else base


def conclude(values):
    return rankings.agreement(values, DIGITS, PHOTOS)
