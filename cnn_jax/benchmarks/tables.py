"""Tables of a benchmark's results. A result is the measurement of one network."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from cnn_jax.analysis.costs import memory_text
from cnn_jax.training import machine as machine_lib

Result = dict[str, Any]


def table(report: dict[str, Any]) -> str:
    """Returns a text for the terminal: a table of the results of one network.

    Lines above the table describe the network, the machine and the protocol. The table
    has one row for each result.

    Args:
      report: the result of `measure.report`.
    """
    results = report["results"]
    first = results[0]
    headers = ["mode", "batch", "compile s", *HEADERS]
    if first["peer"]:
        headers += [*PEER_HEADERS]
    rows = [
        [
            result["mode"],
            result["batch_size"],
            f"{result['compile_seconds']:.1f}",
            *columns(result),
            *(peer_columns(result) if first["peer"] else []),
        ]
        for result in results
    ]
    lines = [
        f"{first['model']} on {_shape(first)}, {first['dtype']}",
        *machine(report),
        protocol(results),
        *([f"peer: {first['peer']}"] if first["peer"] else []),
        "",
        _render(rows, headers, "simple"),
    ]
    if found := report.get("sweep"):
        best = found["best"]
        lines += [
            "",
            f"fastest: {best['train']} in training, {best['infer']} in inference; "
            f"largest that fits: {found['largest']}"
            + (
                f" ({found['does_not_fit']} does not)"
                if found["does_not_fit"]
                else " (none larger was tried)"
            ),
        ]
    return "\n".join(lines)


def markdown(results: Sequence[Result]) -> str:
    """Returns a Markdown table with one row for each result of several networks."""
    headers = ["network", "input", "dtype", "batch", "mode", *HEADERS, "peer"]
    rows = [
        [
            result["model"],
            _shape(result),
            result["dtype"],
            result["batch_size"],
            result["mode"],
            *columns(result),
            result["peer"] or "",
            *(peer_columns(result) if result["peer"] else [""] * len(PEER_HEADERS)),
        ]
        for result in results
    ]
    return _render(rows, [*headers, *PEER_HEADERS], "github")


HEADERS = ("step ms", "10-90%", "images/s", "GFLOP/s", "of peak", "memory")
PEER_HEADERS = ("peer's ms", "peer's 10-90%", "ratio", "of the best")


def columns(result: Result) -> list[str]:
    """Returns a result's time, speed and memory as texts for the columns `HEADERS`."""
    return [
        f"{result['step_ms']:.2f}",
        f"{result['step_ms_p10']:.2f}-{result['step_ms_p90']:.2f}",
        _three_digits(result["images_per_second"]),
        f"{result['gflops_per_second']:,.1f}",
        f"{result['share_of_peak']:.1%}",
        memory_text(result["peak_memory_bytes"]),
    ]


def peer_columns(result: Result) -> list[str]:
    """Returns the peer's times and ratios as texts for the columns `PEER_HEADERS`."""
    return [
        f"{result['peer_step_ms']:.2f}",
        f"{result['peer_step_ms_p10']:.2f}-{result['peer_step_ms_p90']:.2f}",
        f"{result['ratio']:.2f}",
        f"{result['ratio_of_best']:.2f}",
    ]


def machine(report: dict[str, Any]) -> list[str]:
    """Returns a line about the machine, and a line about the package versions."""
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items() if v)
    return [machine_lib.text(report["device"]), versions]


def protocol(results: Sequence[Result]) -> str:
    """Returns a line about the timed samples and the peak speed of the device."""
    peaks = [result["matmul_gflops_per_second"] for result in results]
    return f"{samples(results)}; peak of a matrix product: {max(peaks):,.0f} GFLOP/s"


def samples(results: Sequence[Result]) -> str:
    """Returns a phrase: the number of samples, and the number of steps per sample."""
    repeats, steps = (
        _range([result[key] for result in results])
        for key in ("repeats", "steps_per_repeat")
    )
    return (
        f"samples: {results[0]['warmup']} to warm up, {repeats} timed, of {steps} "
        f"step{'' if steps == '1' else 's'} each; shown are the median and the range "
        "of the middle 80%"
    )


INPUT_HEADERS = (
    *("data", "images", "shape", "batch", "workers", "step ms", "10-90%"),
    *("images/s", "per core", "memory", "largest", "growth"),
)
INPUT_PEER_HEADERS = (*PEER_HEADERS[:2], "peer's images/s", *PEER_HEADERS[2:])


def input_table(report: dict[str, Any]) -> str:
    """Returns a text for the terminal: a table of the loading of one config's images.

    Lines above the table describe the data, the machine and the protocol.

    Args:
      report: the result of `input.report`.
    """
    (result,) = report["results"]
    lines = [
        f"input of {result['data']}"
        + (", held in memory" if result["in_memory"] else ""),
        *machine(report),
        samples([result]),
    ]
    if memory := result["memory"]:
        lines += [
            f"memory: the first of {memory['samples']} samples over "
            f"{memory['batches']:,} batches; largest: the largest of them; growth: "
            "from the first to the last"
        ]
    if result["peer"]:
        lines += [f"peer: {result['peer']}"]
    return "\n".join([*lines, "", _input_rows([result], "simple")])


def input_markdown(results: Sequence[Result]) -> str:
    """Returns a Markdown table of the loading of images, with one row per result."""
    return _input_rows(results, "github")


def _input_rows(results: Sequence[Result], format: str) -> str:
    beside = any(result["peer"] for result in results)
    rows = []
    for result in results:
        row = [
            result["data"],
            f"{result['examples']:,}",
            "x".join(map(str, result["image_shape"])),
            result["batch_size"],
            result["workers"],
            f"{result['step_ms']:.2f}",
            f"{result['step_ms_p10']:.2f}-{result['step_ms_p90']:.2f}",
            _three_digits(result["images_per_second"]),
            _three_digits(result["images_per_second_per_core"]),
            *_memory_columns(result["memory"]),
        ]
        if result["peer"]:
            times, ratios = peer_columns(result)[:2], peer_columns(result)[2:]
            row += [*times, _three_digits(result["peer_images_per_second"]), *ratios]
        rows.append(row)
    headers = [*INPUT_HEADERS, *(INPUT_PEER_HEADERS if beside else ())]
    return _render(rows, headers, format)


def _memory_columns(memory: dict[str, int] | None) -> list[str]:
    if memory is None:
        return [""] * 3
    return [
        memory_text(memory["first_bytes"]),
        memory_text(memory["largest_bytes"]),
        f"{memory['growth_bytes'] / 2**20:+.1f} MiB",
    ]


def _range(values: Sequence[int]) -> str:
    """Returns the smallest and the largest number, `3-20`, or `3` if all are equal."""
    return "-".join(map(str, sorted({min(values), max(values)})))


def _three_digits(value: int | float) -> str:
    """Returns a number as text: rounded to three significant digits.

    A number of at least 100 is rounded to an integer.
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _shape(result: Result) -> str:
    return "x".join(map(str, result["input_shape"]))


def _render(rows: list[list[Any]], headers: Sequence[str], format: str) -> str:
    return tabulate(
        rows,
        headers=headers,
        tablefmt=format,
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)),
    )
