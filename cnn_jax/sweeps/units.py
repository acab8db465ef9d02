"""Values of a metric as text, in per cent and points for an accuracy or an IoU."""

from cnn_jax.sweeps.statistics.bootstrap import CrossedDifference
from cnn_jax.sweeps.statistics.paired import Difference

# Metrics shown in per cent; their differences are in percentage points.
SHARES = ("accuracy", "iou")


def is_share(metric: str) -> bool:
    return metric.endswith(SHARES)


def scale(metric: str) -> float:
    """Returns the factor from a value of the metric to the number that is shown."""
    return 100.0 if is_share(metric) else 1.0


def label(metric: str) -> str:
    """Returns the label of an axis that shows the metric."""
    return f"{metric} (%)" if is_share(metric) else metric


def difference_label(metric: str) -> str:
    """Returns the label of an axis that shows differences of the metric."""
    return f"difference in {metric}" + " (points)" * is_share(metric)


def value_text(metric: str, value: float) -> str:
    """Returns a metric's value as text, in per cent for an accuracy or an IoU."""
    return bare(metric, value) + "%" * is_share(metric)


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
    """Returns a value as text without a unit."""
    text = f"{100 * value:.2f}" if is_share(metric) else f"{value:.4g}"
    return text.removeprefix("-") if _is_zero(text) else text


def amount(metric: str, value: float) -> str:
    return bare(metric, value) + " points" * is_share(metric)


def signed(metric: str, value: float) -> str:
    """Returns a difference as text, with its sign; zero has no sign."""
    text = bare(metric, value)
    return text if text.startswith("-") or _is_zero(text) else f"+{text}"


def interval(metric: str, found: Difference | CrossedDifference) -> str:
    return f"{signed(metric, found.low)} to {signed(metric, found.high)}"


def p_text(p_value: float | None) -> str:
    """Returns a p-value as text with three decimals; "" if there is none."""
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _is_zero(text: str) -> bool:
    return float(text) == 0
