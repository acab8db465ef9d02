"""Measures how time and memory grow with one setting of a CIFAR ResNet.

The settings are the batch size, the depth, the image size and the number of examples.
Only one setting changes at a time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tabulate import tabulate

from cnn_jax.analysis.costs import memory_text
from cnn_jax.benchmarks.measure import Protocol, measure
from cnn_jax.benchmarks.subject import Request, make
from cnn_jax.data import loading
from cnn_jax.data.splits import Arrays

Row = dict[str, Any]

# The base is a CIFAR ResNet-20 at batch size 128; each axis changes one value.
SIZE, BATCH = 32, 128
BATCHES = (16, 32, 64, 128, 256, 512)
DEPTHS = (20, 32, 44, 56, 110)
SIZES = (16, 24, 32, 48, 64)
EXAMPLES = (1_000, 10_000, 100_000, 400_000)
LOADED = 20  # batches


def request(depth: int = 20, size: int = SIZE, batch_size: int = BATCH) -> Request:
    """Returns a request to measure a CIFAR ResNet.

    Args:
      depth: the number of layers.
      size: the height and width of the images.
      batch_size: the number of images per step.
    """
    return Request(
        model=f"resnet{depth}",
        input_shape=(size, size, 3),
        overrides={"model.num_classes": "10"},
    ).at(batch_size)


AXES: dict[str, tuple[Sequence[int], Callable[[int], Request]]] = {
    "batch size": (BATCHES, lambda batch_size: request(batch_size=batch_size)),
    "depth": (DEPTHS, lambda depth: request(depth=depth)),
    "image size": (SIZES, lambda size: request(size=size)),
}


def rows(protocol: Protocol) -> Iterator[Row]:
    """Measures a training step for each value of each setting.

    The setting "examples" is measured differently: its rows measure the loading of a
    batch.

    Yields:
      {"axis", "value", "step_ms", "memory_bytes", "share_of_peak"}. "axis" is the name
      of the changed setting, and "value" is its value.
    """
    for axis, (values, request_of) in AXES.items():
        for value in values:
            (result,) = measure(make(request_of(value)), protocol, ["train"])
            yield {
                "axis": axis,
                "value": value,
                "step_ms": result["step_ms"],
                "memory_bytes": result["peak_memory_bytes"],
                "share_of_peak": result["share_of_peak"],
            }
    for examples in EXAMPLES:
        yield loading_row(examples)


def loading_row(examples: int) -> Row:
    """Measures the time to gather a batch from examples in memory.

    Args:
      examples: the number of examples in memory.

    Returns:
      A row; see `rows`.
    """
    split = Arrays(
        np.zeros((examples, SIZE, SIZE, 3), np.uint8), np.zeros(examples, np.int32)
    )
    steps = LOADED + 1
    batches = loading.train_batches(
        split, batch_size=BATCH, seed=0, start_step=0, stop_step=steps, workers=0
    )
    next(batches)
    seconds = []
    for _ in range(LOADED):
        begun = time.perf_counter()
        next(batches)
        seconds.append(time.perf_counter() - begun)
    batches.close()
    return {
        "axis": "examples",
        "value": examples,
        "step_ms": 1e3 * float(np.median(seconds)),
        "memory_bytes": split.images.nbytes,
        "share_of_peak": None,
    }


def exponent(values: Sequence[int], results: Sequence[int | float]) -> float:
    """Returns the exponent p of a fit results = c * values ** p.

    p is the slope of log(results) against log(values).
    """
    return float(np.polyfit(np.log(values), np.log(results), 1)[0])


def by_axis(found: Sequence[Row]) -> dict[str, list[Row]]:
    """Returns the rows of each changed setting, by the setting's name ("axis")."""
    axes: dict[str, list[Row]] = {}
    for row in found:
        axes.setdefault(row["axis"], []).append(row)
    return axes


def markdown(found: Sequence[Row]) -> str:
    """Returns a Markdown table with one row for each changed setting.

    The row shows how the time, the memory and the share of the peak speed grow.

    Args:
      found: the result of `rows`.
    """
    lines = []
    for axis, points in by_axis(found).items():
        values = [point["value"] for point in points]
        times = [point["step_ms"] for point in points]
        memory = [point["memory_bytes"] for point in points]
        shares = [point["share_of_peak"] for point in (points[0], points[-1])]
        lines.append(
            [
                axis,
                f"{values[0]:,} to {values[-1]:,}",
                f"{times[0]:.2f} to {times[-1]:.2f}",
                f"{exponent(values, times):.2f}",
                f"{memory_text(memory[0])} to {memory_text(memory[-1])}",
                f"{exponent(values, memory):.2f}",
                "" if None in shares else f"{shares[0]:.0%} to {shares[1]:.0%}",
            ]
        )
    return tabulate(
        lines,
        headers=[
            "along",
            "from, to",
            "ms",
            "time's exponent",
            "memory",
            "memory's exponent",
            "of peak",
        ],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * 6),
    )


def plot(found: Sequence[Row], path: Path) -> None:
    """Plots time and memory against each changed setting, into a file.

    Args:
      found: the result of `rows`.
      path: the file.
    """
    from matplotlib.figure import Figure

    axes = by_axis(found)
    figure = Figure(figsize=(3.2 * len(axes), 5.6), layout="constrained")
    plots = figure.subplots(2, len(axes), sharex="col", squeeze=False)
    for column, (axis, points) in enumerate(axes.items()):
        values = [point["value"] for point in points]
        for row, (key, scale, label) in enumerate(
            (("step_ms", 1, "ms"), ("memory_bytes", 2**20, "MiB"))
        ):
            place = plots[row, column]
            results = [point[key] / scale for point in points]
            place.loglog(values, results, "o-", color=f"C{row}")
            place.set_title(f"exponent {exponent(values, results):.2f}", fontsize=10)
            place.set_ylabel(label)
            place.grid(alpha=0.3, which="both")
            place.set_xticks(values, [f"{value:,}" for value in values], rotation=45)
            place.minorticks_off()
        plots[1, column].set_xlabel(axis)
    figure.suptitle(
        f"ResNet-20, batch {BATCH}, {SIZE}x{SIZE}, one step of training on "
        f"{jax.devices()[0].device_kind}; examples: one batch gathered from memory"
    )
    figure.savefig(path, dpi=120)
