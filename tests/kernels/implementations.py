"""Runs random convolutions by oneDNN, which says of each how it computed it.

    ONEDNN_VERBOSE=1 taskset -c 0 python tests/kernels/implementations.py 100

On one processor: on several, an implementation that must not be chosen would hang.
"""

import sys
from functools import partial

import jax
import numpy as np

from cnn_jax.kernels import convolution, convolution_xla


def random_geometry(rng):
    """Shapes of the input and the kernel, and the rest."""
    while True:
        rank = int(rng.integers(1, 4))
        size, window = (tuple(rng.integers(1, most, rank).tolist()) for most in (20, 6))
        strides, dilation = (tuple(rng.integers(1, 4, rank).tolist()) for _ in "sd")
        padding = tuple(map(tuple, rng.integers(0, 5, (rank, 2)).tolist()))
        groups, per_group, more = rng.integers(1, [13, 4, 4]).tolist()
        if rng.random() < 0.5:
            per_group = more = 1
        if (
            min(convolution_xla.output_size(size, window, strides, padding, dilation))
            > 0
        ):
            x = (int(rng.integers(1, 4)), *size, groups * per_group)
            kernel = (*window, per_group, groups * more)
            rest = {"strides": strides, "padding": padding, "dilation": dilation}
            return x, kernel, rest | {"groups": groups}


def all_three(x, kernel, *, geometry):
    """The convolution and both of its gradients."""
    y, pullback = jax.vjp(partial(convolution.convolution, **geometry), x, kernel)
    return y, pullback(y)


def main(many: int) -> None:
    rng = np.random.default_rng(0)
    found = [random_geometry(rng) for _ in range(many)]

    @jax.jit
    def run(arrays):
        return [
            all_three(*pair, geometry=geometry)
            for pair, (*_, geometry) in zip(arrays, found, strict=True)
        ]

    arrays = [[np.ones(shape, np.float32) for shape in shapes] for *shapes, _ in found]
    jax.block_until_ready(run(arrays))


if __name__ == "__main__":
    main(int(sys.argv[1]))
