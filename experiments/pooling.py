"""Does it matter how a network subsamples, and which head it has?

The lecture: pooling and strided convolutions are similar, and both reduce parameters
and computation. Fully connected layers hold most of the parameters, overfit and depend
on dropout. Global average pooling, which regularizes by itself, can replace them.

    python -m cnn_jax.sweep --config=experiments/pooling.py
    python -m cnn_jax.sweep --config=experiments/pooling.py:cifar10
    python -m cnn_jax.sweep --config=experiments/pooling.py:few_cifar10
    python -m cnn_jax.sweep --config=experiments/pooling.py:few_mnist
    python -m cnn_jax.sweep --config=experiments/pooling.py:folder --config.data.dir=DIR

`:few_cifar10` is 5,000 photos of CIFAR-10 at 16x16 pixels for ten epochs, `:few_mnist`
is 1,000 digits of MNIST for 20 epochs, and `:folder` is your photos in class folders.
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    return recipes.experiment(arg)


def sweep():
    fully_connected = {"model.head": "flatten_fc", "model.head_width": (128,)}
    yield "max pooling", {}
    yield "average pooling", {"model.subsample": "average"}
    yield "strided convolution", {"model.subsample": "strided"}
    yield "no subsampling", {"model.subsample": "none"}
    yield "fully connected head", fully_connected
    yield "fully connected, dropout", fully_connected | {"model.dropout": 0.5}
    yield "global average, dropout", {"model.dropout": 0.5}
