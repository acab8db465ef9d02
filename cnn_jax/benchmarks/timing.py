"""How long steps take, beside each other, and what the device could do.

Steps that are compared take turns, so that what else the machine does meanwhile slows
all of them alike. On a CPU each step is waited for. An accelerator is given several at
once, as the training loop does: else it would wait for the host between two.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

# Does so many steps, one after the other, and returns when the last is done.
Run = Callable[[int], None]

MODES = ("train", "infer")
TURN = 5  # samples of one program before it is the next one's turn
FEWEST = 3  # samples, however long they take
# Rows of the square matrices whose product is taken for the peak of the device.
PEAK_SIZE = {"cpu": 1024, "gpu": 8192, "tpu": 8192}
PEAK_PRODUCTS = 10


def steps_at_once() -> int:
    """How many steps are waited for together."""
    return 1 if jax.default_backend() == "cpu" else 10


@dataclass(frozen=True)
class Timing:
    """Seconds a step, of each sample."""

    seconds: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """In milliseconds, as all others here."""
        return 1e3 * statistics.median(self.seconds)

    @property
    def best_ms(self) -> float:
        """The shortest: what other programs disturbed the least."""
        return 1e3 * min(self.seconds)

    def percentile_ms(self, percent: int) -> float:
        """The time that `percent` of the samples do not exceed."""
        ordered = sorted(self.seconds)
        return 1e3 * ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]

    @property
    def steady(self) -> bool:
        """Whether the times are near each other: those of a machine of one's own."""
        return self.percentile_ms(90) < 1.5 * self.percentile_ms(10)


def alternate(
    runs: Sequence[Run],
    *,
    repeats: int,
    warmup: int,
    steps: int = 1,
    seconds: int | float = math.inf,
) -> list[Timing]:
    """Times each of `runs` `repeats` times, a few samples of each at its turn.

    Args:
      warmup: samples of each that come before all others and are not timed. Where
        there are several runs, a further one at the beginning of each turn is not timed
        either: it finds the processor's caches and threads as the others left them.
      steps: of a sample.
      seconds: when all together took as long as this, three samples of each are enough.
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
    """GFLOP/s of a product of large square matrices of `dtype`, on all devices.

    The best of some products on one device, times the number of devices; those of a
    CPU are virtual and share its cores.
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
    """Floating-point operations of a step, from the multiply-accumulates of one image.

    Two for each multiply-accumulate; training counts as three times the forward pass,
    since each layer has two gradients, that of its input and that of its kernel, of as
    many operations as the layer itself. All else (normalization, activations, the
    optimizer) is not counted.
    """
    return 2 * macs * batch_size * (3 if mode == "train" else 1)
