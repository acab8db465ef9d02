"""Measures the step times of two arms, and keeps the values of equal step time.

A process of its own measures, because JAX would otherwise hold the accelerator's memory
while the runs train.
"""

import contextlib
import functools
import importlib.metadata
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnn_jax.benchmarks import measure, subject, timing
from cnn_jax.core import records
from cnn_jax.sweeps.scaling import Value
from cnn_jax.training import machine
from cnn_jax.training.config import Config

PROTOCOL = measure.Protocol(repeats=40, warmup=3, seconds=20)


@dataclass(frozen=True)
class StepTime:
    """The time of a training step, in milliseconds.

    Attributes:
      median: the median of the samples.
      low, high: the 10th and the 90th percentile of the samples.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Measurement:
    """The step times of an arm and of its base arm, measured in turns.

    Attributes:
      arm, base: the step times of the arm and of the base arm.
      device: the device in words.
      versions: the versions of packages.
    """

    arm: StepTime
    base: StepTime
    device: str
    versions: Mapping[str, str]

    @property
    def ratio(self) -> float:
        """The arm's median divided by the base arm's median."""
        return self.arm.median / self.base.median

    @property
    def overlaps(self) -> bool:
        """True if the ranges from the 10th to the 90th percentile overlap."""
        return self.arm.low <= self.base.high and self.base.low <= self.arm.high


# A function that measures the step times of a base arm's config and an arm's config.
Timer = Callable[[Config, Config], Measurement]


def compare(base: Config, config: Config) -> Measurement:
    """Measures the training steps of two configs in turns, in this process.

    Raises:
      UserError: if a batch does not fit into the memory, or a network is not possible.
    """
    seconds = timing.alternate(
        [_program(base), _program(config)],
        repeats=PROTOCOL.repeats,
        warmup=PROTOCOL.warmup,
        steps=timing.steps_at_once(),
        seconds=PROTOCOL.seconds,
    )
    theirs, ours = map(_step_time, seconds)
    packages = ("jax", "jaxlib", "flax")
    return Measurement(
        ours,
        theirs,
        device=machine.text(machine.description()),
        versions={name: importlib.metadata.version(name) for name in packages},
    )


@functools.lru_cache(maxsize=2)  # the base arm's program is kept between measurements
def _program(config: Config) -> timing.Run:
    return measure.training_run(subject.of_config(config))


def _step_time(found: timing.Timing) -> StepTime:
    ends = found.percentile_ms(10), found.percentile_ms(90)
    return StepTime(found.median_ms, *ends)


class Stopwatch(contextlib.AbstractContextManager):
    """A `Timer` that measures in a process of its own, on one slot of this machine.

    The process starts with the first measurement, and ends with the `with` block.

    Args:
      cores_per_run: see `local.slots`.
    """

    def __init__(self, cores_per_run: int = 1):
        self._cores_per_run = cores_per_run
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, base: Config, config: Config) -> Measurement:
        if self._pool is None:
            from cnn_jax.sweeps import local  # which imports this module

            slot = local.slots(self._cores_per_run)[0]
            self._pool = ProcessPoolExecutor(
                1,
                multiprocessing.get_context("spawn"),
                initializer=_enter,
                initargs=(slot.cores, dict(slot.environment)),
            )
        return self._pool.submit(compare, base, config).result()

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _enter(cores: Sequence[int], environment: Mapping[str, str]) -> None:
    """Moves this process to a slot, before JAX starts a device."""
    os.environ.update(environment)
    if cores:
        os.sched_setaffinity(0, cores)


def read(file: Path, arm: str, identity: Any) -> tuple[Value, Measurement] | None:
    """Returns the value that a file keeps for an arm, with its measurement.

    Args:
      file: the file.
      arm: the name of the arm.
      identity: what the value depends on, as JSON. If it has changed, the result is
        None.

    Raises:
      UserError: if the file is damaged.
    """
    entry = _entries(file).get(arm)
    if entry is None or entry["identity"] != identity:
        return None
    value, times = entry["value"], entry["measurement"]
    return (
        tuple(value) if isinstance(value, list) else value,
        Measurement(
            StepTime(**times["arm"]),
            StepTime(**times["base"]),
            times["device"],
            times["versions"],
        ),
    )


def write(
    file: Path, arm: str, identity: Any, value: Value, measurement: Measurement
) -> None:
    """Writes the value of an arm into a file, beside the values of other arms.

    See `read` for the arguments.
    """
    entries = _entries(file)
    entry = {"identity": identity, "value": value, "measurement": asdict(measurement)}
    file.parent.mkdir(parents=True, exist_ok=True)
    records.write_json(file, {**entries, arm: entry})


def _entries(file: Path) -> dict[str, Any]:
    try:
        return records.read_json(file)
    except FileNotFoundError:
        return {}
