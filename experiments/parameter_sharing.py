"""What does it buy to share parameters: over space, and over depth?

The lecture: parameter sharing and sparse connections are what sets convolutional
networks apart from perceptrons. A convolution that is shared over space should be as
good on digits in places where none was seen; beside the test digits as they are stand
the same ones moved by up to three pixels (`shifted/accuracy` in results.csv).

    python -m cnn_jax.sweep --config=experiments/parameter_sharing.py
    python -m cnn_jax.sweep --config=experiments/parameter_sharing.py:cifar10

On the digits (three seeds, three minutes on two cores): 97.1% by convolution, 95.7% by
locally connected layers as wide, with 90 times the parameters, 69.7% with as many, and
93.4 to 93.9% by perceptrons. On moved digits 61% by convolution and 19 to 32% by all
that does not share over space. Layers that share a kernel over depth are as good as
layers that do not: 97.5% and 97.7%, with less than half of the parameters.
"""

from cnn_jax.training import recipes

# Widths and hidden units with which the parameters are nearly the convolution's.
SAME = {None: ((2, 2), 63), "cifar10": ((3, 4, 8), 92)}


def get_config(arg=None):
    config = recipes.experiment(arg)
    # Nothing but the network itself makes it indifferent to where a digit is.
    config.data.crop_padding = 0
    config.data.test_shift = 3
    return config


def sweep(arg=None):
    narrow, hidden = SAME[arg]
    local = {"model.layer": "locally_connected"}
    yield "convolution", {}
    yield "locally connected, as wide", local
    yield "locally connected, as many parameters", local | {"model.widths": narrow}
    yield "MLP, as many parameters", {"model.name": "mlp", "model.hidden": (hidden,)}
    yield "MLP, 1,024 units", {"model.name": "mlp", "model.hidden": (1024,)}
    yield "four layers a stage", {"model.depth": 4}
    yield "four layers a stage, shared", {"model.depth": 4, "model.shared": True}
