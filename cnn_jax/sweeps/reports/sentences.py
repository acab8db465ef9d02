"""A sentence on each arm of a sweep: does the arm differ from its base arm?"""

from collections.abc import Sequence

from cnn_jax.sweeps import units
from cnn_jax.sweeps.reports.summary import Summary
from cnn_jax.sweeps.statistics.bootstrap import CrossedDifference
from cnn_jax.sweeps.statistics.equivalence import LEVEL
from cnn_jax.sweeps.statistics.paired import Difference


def on_arms(metric: str, summaries: Sequence[Summary]) -> list[str]:
    """Returns a line in Markdown for each arm that is compared to a base arm.

    Significance is decided by the corrected p-value of the paired t-test over seeds.
    The interval is the one over seeds and test examples or, if there is none, Student's
    interval over seeds.
    """
    tests = sum(s.p_value is not None for s in summaries)
    return [
        f"* {s.arm}: {_sentence(metric, s, s.difference, tests)}."
        for s in summaries
        if s.difference is not None
    ]


def _sentence(metric: str, s: Summary, d: Difference, tests: int) -> str:
    base, found = s.against, f"{_directed(metric, d.mean)} {s.against}"
    if d.seeds == 1:
        return f"{found} with one seed, which may be chance"
    if d.p_value is None or s.p_value is None:
        said = f"{found} with every seed"
        return f"{said}; no test is possible" if d.mean else said
    interval = s.crossed or d
    shown = f"95% interval: {units.interval(metric, interval)}"
    if s.p_value < LEVEL:
        return _significant(metric, found, d, interval)
    if d.p_value < LEVEL:
        return (
            f"{found} ({shown}), significant by itself, but not among {tests} "
            f"comparisons (p = {units.p_text(s.p_value)})"
        )
    if _excludes_zero(interval):
        return (
            f"no significant difference to {base} over the {d.seeds} seeds (p = "
            f"{units.p_text(s.p_value)}), although the interval excludes zero "
            f"({shown}): more seeds may show a difference"
        )
    return f"no significant difference to {base} ({shown})"


def _significant(
    metric: str, found: str, d: Difference, interval: Difference | CrossedDifference
) -> str:
    """Returns the words for a difference that is significant over the seeds.

    Args:
      metric: the name of the metric.
      found: the difference in words.
      d: the difference over seeds.
      interval: the interval to show.
    """
    if not _excludes_zero(interval):
        return (
            f"{found} on these test examples (95%, seeds only: {_ends(metric, d)}); "
            "on other test examples, there may be no difference (95% interval: "
            f"{units.interval(metric, interval)})"
        )
    return f"{found} (95% interval: {_ends(metric, interval)})"


def _directed(metric: str, mean: float) -> str:
    """Returns a difference in words, such as "2.00 points above"."""
    if units.signed(metric, mean) == units.signed(metric, 0.0):
        return "the same as"
    direction = "above" if mean > 0 else "below"
    return f"{units.amount(metric, abs(mean))} {direction}"


def _ends(metric: str, found: Difference | CrossedDifference) -> str:
    """Returns an interval that excludes zero in words: "1.00 to 2.00 points above"."""
    near, far = sorted((abs(found.low), abs(found.high)))
    direction = "above" if found.mean > 0 else "below"
    return f"{units.bare(metric, near)} to {units.amount(metric, far)} {direction}"


def _excludes_zero(found: Difference | CrossedDifference) -> bool:
    return found.low > 0 or found.high < 0
