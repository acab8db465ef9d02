"""Values of a metric as text, in per cent and points for an accuracy or an IoU."""

from cnn_jax.sweeps.statistics import Difference

# Metrics shown in percent; their differences are in percentage points.
SHARES = ("accuracy", "iou")


def is_share(metric: str) -> bool:
    return metric.endswith(SHARES)


def value_text(metric: str, value: float) -> str:
    """Returns a metric's value as text, in percent for an accuracy or an IoU."""
    return f"{value:.2%}" if is_share(metric) else f"{value:.4g}"


def plus_minus(metric: str, mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return ""
    text = value_text(metric, mean)
    if deviation is None:
        return text
    if is_share(metric):
        return f"{text} ± {100 * deviation:.2f}"
    return f"{text} ± {deviation:.2g}"


def bare(metric: str, value: float) -> str:
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4g}"


def amount(metric: str, value: float) -> str:
    return bare(metric, value) + " points" * is_share(metric)


def signed(metric: str, value: float) -> str:
    return f"{100 * value:+.2f}" if is_share(metric) else f"{value:+.4g}"


def interval(metric: str, d: Difference) -> str:
    return f"{signed(metric, d.low)} to {signed(metric, d.high)}"
