"""The tables of a sweep's report."""

from collections.abc import Sequence

from cnn_jax.analysis.costs import memory_text
from cnn_jax.sweeps import results, units
from cnn_jax.sweeps.experiment import Experiment, Grid
from cnn_jax.sweeps.reports.summary import Summary
from cnn_jax.sweeps.text_table import aligned


def arms(experiment: Experiment, summaries: Sequence[Summary], format: str) -> str:
    """Returns the table of arms, with one row per arm; see `legend`.

    `format` is a table format of `tabulate`.
    """
    metric = results.main_metric(experiment)
    to = f" to {base}" if (base := _only_base(summaries)) else ""
    both = any(s.crossed for s in summaries)
    others = list(dict.fromkeys(key for s in summaries for key in s.others))
    memory = any("peak_memory_bytes" in s.costs for s in summaries)
    headers = [
        *("arm", "runs", metric, f"difference{to}", "95% interval"),
        *(["95%, seeds only"] if both else []),
        *("adjusted p", *others, "parameters", "MACs", "examples/s"),
        *(["memory"] if memory else []),
    ]
    lines = []
    for s in summaries:
        line = [s.arm, str(s.seeds)]
        line += [units.plus_minus(metric, s.mean, s.deviation)]
        line += _difference(metric, s, alone=not to, both=both)
        line += [
            units.plus_minus(key, *s.others.get(key, (None, None))) for key in others
        ]
        line += [
            f"{s.costs[key]:,.0f}" if key in s.costs else "" for key in results.COSTS
        ]
        if memory:
            known = s.costs.get("peak_memory_bytes")
            line.append(memory_text(round(known)) if known else "")
        lines.append(line)
    return aligned(lines, headers, format)


def _difference(metric: str, s: Summary, alone: bool, both: bool) -> list[str]:
    """Returns the cells of an arm's difference, its intervals and its p-value.

    Args:
      metric: the name of the metric.
      s: the summary of the arm.
      alone: whether the cell names the base arm, which the header does not.
      both: whether there are columns for both intervals.
    """
    if not (d := s.difference):
        return [""] * (3 + both)
    shown = units.signed(metric, d.mean) + (f" to {s.against}" if alone else "")
    seeds_only = units.interval(metric, d) if d.seeds > 1 else ""
    crossed = units.interval(metric, s.crossed) if s.crossed else ""
    intervals = [crossed, seeds_only] if both else [seeds_only]
    return [shown, *intervals, units.p_text(s.p_value)]


def legend(metric: str, summaries: Sequence[Summary], looks: bool = False) -> str:
    """Returns a paragraph that explains the columns of the table of arms.

    Args:
      metric: the name of the metric.
      summaries: the summary of each arm.
      looks: whether the sweep is decided at several looks, by other tests.
    """
    parts = [
        "Each row is an arm; *runs* is the number of its complete runs. "
        f"*{metric}*: mean ± standard deviation over the seeds."
    ]
    if any(s.difference for s in summaries):
        to = _only_base(summaries) or "the arm that is named"
        points = ", in percentage points" * units.is_share(metric)
        parts += [
            f"*difference*: mean difference to {to}, paired by seed{points}.",
            *_intervals(summaries),
            _p_value(summaries, looks),
        ]
    parts.append(
        "*MACs*: multiply-accumulates on one example. *examples/s*: training speed."
    )
    return " ".join(parts)


def _intervals(summaries: Sequence[Summary]) -> list[str]:
    """Returns sentences that say what each interval of the table is about."""
    crossed = [s for s in summaries if s.crossed]
    reasons: dict[str, list[str]] = {}
    for s in summaries:
        if s.uncrossed:
            reasons.setdefault(s.uncrossed, []).append(s.arm)
    if not crossed:
        why = f": {'; '.join(reasons)}" if reasons else ""
        return [
            "*95% interval*: confidence interval of the difference for new seeds and "
            "the same test examples (Student's t). No interval covers new test "
            f"examples{why}."
        ]
    count = max(s.crossed.examples for s in crossed if s.crossed)
    said = [
        "*95% interval*: confidence interval of the difference for new seeds and new "
        f"test examples of the same kind as the {count:,} used ones (crossed "
        "bootstrap). *95%, seeds only*: the same for new seeds and exactly these test "
        "examples (Student's t)."
    ]
    for why, arms in reasons.items():
        said.append(f"Only seeds are covered for {', '.join(arms)}: {why}.")
    if any(_narrower(s) for s in crossed):
        said.append(
            "With few seeds, the interval over seeds only can be the wider one, "
            "because it estimates its variance from these few values alone."
        )
    return said


def _narrower(s: Summary) -> bool:
    """Returns whether the crossed interval is narrower than the one over seeds."""
    assert s.crossed and s.difference
    d = s.difference
    return s.crossed.high - s.crossed.low < (d.high - d.low) * (1 - 1e-9)


def _p_value(summaries: Sequence[Summary], looks: bool) -> str:
    tests = sum(s.p_value is not None for s in summaries)
    many = f", corrected for {tests} comparisons by Holm's method" if tests > 1 else ""
    meaning = f"*adjusted p*: p-value of the paired t-test over the seeds{many}"
    if looks:
        return (
            f"{meaning}; it is not corrected for the looks, so the verdicts say which "
            "arms differ."
        )
    intervals = " Intervals are not corrected." if tests > 1 else ""
    crossed = (
        " It is about exactly these test examples, so the 95% interval may include "
        "zero although p is below 0.05."
        if any(s.crossed for s in summaries)
        else ""
    )
    return (
        f"{meaning}; below 0.05, the arms differ by more than chance."
        f"{crossed}{intervals}"
    )


def cross_table(
    grid: Grid, metric: str, summaries: Sequence[Summary], format: str
) -> str:
    """Returns a table of the metric of crossed arms, which are named `ROW, COLUMN`.

    Args:
      grid: the names of the rows and the names of the columns.
      metric: the name of the metric.
      summaries: the summary of each arm.
      format: a table format of `tabulate`.
    """
    rows, columns = grid
    found = {s.arm: units.plus_minus(metric, s.mean, s.deviation) for s in summaries}
    lines = [[row, *(found[f"{row}, {column}"] for column in columns)] for row in rows]
    return aligned(lines, [metric, *columns], format)


def precision(summaries: Sequence[Summary]) -> list[str]:
    """Returns a table, in Markdown, of what makes the differences precise; [] if none.

    The second paragraph explains the columns. The columns are the shares of the
    variance that come from seeds and from test examples, and the use of pairing.
    """
    known = [s for s in summaries if s.crossed or s.pairing]
    shares = any(s.crossed and s.crossed.seed_share is not None for s in known)
    pairs = any(s.pairing for s in known)
    if not shares and not pairs:
        return []
    headers = [
        *("arm", "to"),
        *(["from seeds", "from test examples"] if shares else []),
        *(["correlation (95%)", "paired seeds", "are worth"] if pairs else []),
    ]
    lines = [
        [
            *(s.arm, str(s.against)),
            *(_shares(s) if shares else []),
            *(_pairing(s) if pairs else []),
        ]
        for s in known
    ]
    return [aligned(lines, headers, "github"), _precision_legend(shares, pairs)]


def _shares(s: Summary) -> list[str]:
    share = s.crossed.seed_share if s.crossed else None
    return ["", ""] if share is None else [f"{share:.0%}", f"{1 - share:.0%}"]


def _pairing(s: Summary) -> list[str]:
    if not (p := s.pairing):
        return ["", "", ""]
    return [
        f"{p.correlation:.2f} ({p.low:.2f} to {p.high:.2f})",
        f"{p.seeds}",
        f"{p.unpaired:.0f} unpaired",
    ]


def _precision_legend(shares: bool, pairs: bool) -> str:
    parts = []
    if shares:
        parts.append(
            "*from seeds* and *from test examples*: the shares of the variance behind "
            "the 95% interval. More seeds reduce the first share, more test examples "
            "the second."
        )
    if pairs:
        parts.append(
            "*correlation*: between the runs of the two arms with the same seed, with "
            "its 95% interval. *are worth*: the number of seeds per arm with the same "
            "precision if the arms had different seeds. With few seeds, both are rough "
            "estimates."
        )
    return " ".join(parts)


def _only_base(summaries: Sequence[Summary]) -> str | None:
    """Returns the name of the base arm; None if there are none or several."""
    bases = {s.against for s in summaries if s.against is not None}
    return bases.pop() if len(bases) == 1 else None
