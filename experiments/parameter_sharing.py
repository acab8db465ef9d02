"""What does a network gain by sharing parameters over space, and over depth?

The lecture: parameter sharing and sparse connections distinguish convolutional networks
from perceptrons. A convolution, which shares its kernel over space, should also
recognize digits at unseen positions. So all arms are tested on the test digits, and on
the test digits moved by up to three pixels (`shifted/accuracy` in results.csv).

    python -m cnn_jax.sweep --config=experiments/parameter_sharing.py
    python -m cnn_jax.sweep --config=experiments/parameter_sharing.py:cifar10
    python -m cnn_jax.sweep --config=experiments/parameter_sharing.py:few_cifar10
    python -m cnn_jax.sweep --config=experiments/parameter_sharing.py:few_mnist

`:few_cifar10` is 5,000 photos of CIFAR-10 at 16x16 pixels for ten epochs, `:few_mnist`
is 1,000 digits of MNIST for 20 epochs.
"""

from cnn_jax.sweeps.arms import Arm
from cnn_jax.training import recipes

# Widths that give nearly as many parameters as the convolutions have. So few channels
# cannot be solved for: no widths come within 1%.
NARROW = {
    None: (2, 2),
    "cifar10": (3, 4, 8),
    "few_cifar10": (3, 4, 8),
    "few_mnist": (1, 1),
    "folder": (1, 3, 3),
}


def get_config(arg=None):
    config = recipes.experiment(arg)
    # No augmentation: only the network itself can learn to ignore the position.
    config.data.augmentations = ()
    config.data.test_shift = 3
    return config


def sweep(arg=None):
    local = {"model.layer": "locally_connected"}
    yield "convolution", {}
    yield "locally connected, as wide", local
    narrow = {"model.widths": NARROW[arg]}
    yield "locally connected, as many parameters", local | narrow
    yield Arm("MLP, as many parameters", {"model.name": "mlp"}, iso="parameters")
    yield "MLP, 1,024 units", {"model.name": "mlp", "model.hidden": (1024,)}
    yield "four layers a stage", {"model.depth": 4}
    yield "four layers a stage, shared", {"model.depth": 4, "model.shared": True}
