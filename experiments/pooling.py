"""Does it matter how maps are made smaller, and what stands at the end of the network?

The lecture: pooling and strided convolutions are similar, and both reduce parameters
and computation; fully connected layers hold most of the parameters, overfit and depend
on dropout, and global average pooling, a regularizer by itself, can replace them.

    python -m cnn_jax.sweep --config=experiments/pooling.py
    python -m cnn_jax.sweep --config=experiments/pooling.py:cifar10

On the digits (three seeds, two and a half minutes on two cores) no arm differs from max
pooling by more than chance allows: 96.1% to 98.1%, the fully connected head with 17
times the parameters.

On CIFAR-10, after one pass over 20,000 images (three seeds, 18 minutes on two busy
cores, without the arm that does not subsample), max pooling is the best, 48%; average
pooling gives 45% and strides 44%, which three seeds do not tell from it. Fully
connected layers with dropout have learned least by then, 22%, and dropout costs the
global average 2.4 points: both are more than chance.
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
