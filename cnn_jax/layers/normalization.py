"""Normalisation layers."""

import flax.linen as nn

# The axis over which the training step maps devices, for synchronised statistics.
BATCH_AXIS = "batch"


class BatchNorm(nn.BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015) over all dimensions but the last.

    Linen's `BatchNorm` with the constants of the CNN literature: running
    statistics keep 0.9 of their old value (PyTorch calls that momentum 0.1),
    epsilon 1e-5. Scale, bias and statistics are float32, and so is the reduction,
    whatever `dtype` the computation has. The running variance is the biased one,
    where PyTorch keeps the unbiased one.

    `axis_name=BATCH_AXIS` averages the statistics over all devices of a training
    step that is mapped over that axis; while initialising, no axis is needed.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
