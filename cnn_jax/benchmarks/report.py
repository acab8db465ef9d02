"""A benchmark's results as tables."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from cnn_jax.analysis.costs import memory_text

Result = dict[str, Any]


def table(report: dict[str, Any]) -> str:
    """The results of one network, a row each, with what they were measured on."""
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
    """The results of several networks, a row each, in Markdown."""
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
    """Those of `HEADERS`."""
    return [
        f"{result['step_ms']:.2f}",
        f"{result['step_ms_p10']:.2f}-{result['step_ms_p90']:.2f}",
        _three_digits(result["images_per_second"]),
        f"{result['gflops_per_second']:,.1f}",
        f"{result['share_of_peak']:.1%}",
        memory_text(result["peak_memory_bytes"]),
    ]


def peer_columns(result: Result) -> list[str]:
    """Those of `PEER_HEADERS`."""
    return [
        f"{result['peer_step_ms']:.2f}",
        f"{result['peer_step_ms_p10']:.2f}-{result['peer_step_ms_p90']:.2f}",
        f"{result['ratio']:.2f}",
        f"{result['ratio_of_best']:.2f}",
    ]


def machine(report: dict[str, Any]) -> list[str]:
    """What it was measured on, and with which versions."""
    device = report["device"]
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items() if v)
    return [
        f"{device['count']} x {device['kind']}; {device['cores']} cores of "
        f"{device['processor']}",
        versions,
    ]


def protocol(results: Sequence[Result]) -> str:
    """How it was measured."""
    repeats = sorted({result["repeats"] for result in results})
    steps, peaks = (
        results[0]["steps_per_repeat"],
        [result["matmul_gflops_per_second"] for result in results],
    )
    return (
        f"samples: {results[0]['warmup']} to warm up, "
        f"{'-'.join(map(str, sorted({repeats[0], repeats[-1]})))} timed, of {steps} "
        f"step{'s' if steps > 1 else ''} each, their median and where the middle 80% "
        f"lie; peak of a matrix product: {max(peaks):,.0f} GFLOP/s"
    )


def _three_digits(value: int | float) -> str:
    """Of what follows the point, no more than makes three digits."""
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
