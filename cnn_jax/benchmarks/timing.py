"""Times several programs in turns, and measures the peak speed of the device.

Compared programs take turns, so that other load on the machine slows all programs
alike. On a CPU the timer waits for each step. An accelerator gets several steps at
once, as in the training loop; otherwise the accelerator would wait for the host between
two steps.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

# A function that does a number of steps and returns when the last one is done.
Run = Callable[[int], None]

MODES = ("train", "infer")
TURN = 5  # samples of a program in one turn
FEWEST = 3  # samples that are taken even if they are slow
# Rows of the square matrices whose product measures the peak of the device.
PEAK_SIZE = {"cpu": 1024, "gpu": 8192, "tpu": 8192}
PEAK_PRODUCTS = 10


def steps_at_once() -> int:
    """Returns the number of steps that are timed together as one sample."""
    return 1 if jax.default_backend() == "cpu" else 10


@dataclass(frozen=True)
class Timing:
    """The times of a program.

    `seconds` has one value for each repetition of the measurement: seconds per step."""

    seconds: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The median time per step, in milliseconds."""
        return 1e3 * statistics.median(self.seconds)

    @property
    def best_ms(self) -> float:
        """The shortest time per step, in milliseconds.

        Other programs on the machine disturbed this sample the least.
        """
        return 1e3 * min(self.seconds)

    def percentile_ms(self, percent: int) -> float:
        """Returns a percentile of the samples' times per step, in milliseconds.

        `percent` percent of the samples are not slower.
        """
        ordered = sorted(self.seconds)
        return 1e3 * ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]

    @property
    def steady(self) -> bool:
        """True if the times vary little, as on a machine without other programs."""
        return self.percentile_ms(90) < 1.5 * self.percentile_ms(10)


def alternate(
    runs: Sequence[Run],
    *,
    repeats: int,
    warmup: int,
    steps: int = 1,
    seconds: int | float = math.inf,
) -> list[Timing]:
    """Times programs in turns, a few samples per turn.

    Args:
      runs: the programs to time, as functions that execute a number of steps.
      repeats: the number of timed samples of each program.
      warmup: the number of samples of each program before the timed samples. With
        several programs, the first sample of each turn is not timed either: the
        processor's caches still hold the data of another program.
      steps: the number of steps in a sample.
      seconds: the total time in seconds after which timing ends early, with at least
        three samples of each program.
    """
    found: list[list[float]] = [[] for _ in runs]
    start = time.perf_counter()
    for run in runs:
        for _ in range(warmup):
            run(steps)
    while (done := len(found[0])) < repeats:
        if done >= FEWEST and time.perf_counter() - start > seconds:
            break
        for run, samples in zip(runs, found, strict=True):
            if len(runs) > 1:
                run(steps)
            for _ in range(min(TURN if done else FEWEST, repeats - done)):
                begun = time.perf_counter()
                run(steps)
                samples.append((time.perf_counter() - begun) / steps)
    return [Timing(tuple(samples)) for samples in found]


def matmul_peak(dtype: DTypeLike) -> float:
    """Returns the speed of a product of large square matrices, in GFLOP/s.

    The result is the speed of the fastest of several products on one device, multiplied
    by the number of devices. The virtual devices of a CPU count as one device, because
    they share the CPU's cores.
    """
    n = PEAK_SIZE.get(jax.default_backend(), 8192)
    product = jax.jit(jnp.matmul)
    matrix = jnp.ones((n, n), dtype)

    def run(steps: int) -> None:
        for _ in range(steps):
            result = product(matrix, matrix)
        result.block_until_ready()

    (found,) = alternate([run], repeats=PEAK_PRODUCTS, warmup=2, steps=steps_at_once())
    devices = 1 if jax.default_backend() == "cpu" else jax.local_device_count()
    return 2 * n**3 / (1e6 * found.best_ms) * devices


def flops(macs: int, batch_size: int, mode: str) -> int:
    """Returns the number of floating-point operations of a step.

    Each multiply-accumulate (MAC) counts as two operations. Training counts as three
    times the forward pass, since each layer's gradients with respect to its input and
    its kernel need as many operations as the layer itself. Normalization, activations
    and the optimizer are not counted.
    """
    return 2 * macs * batch_size * (3 if mode == "train" else 1)
