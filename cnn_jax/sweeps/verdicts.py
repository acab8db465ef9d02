"""The verdict on each arm of a sweep: better, worse, the same, or undecided."""

from collections.abc import Sequence

from tabulate import tabulate

from cnn_jax.sweeps import equivalence, planning, results
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.results import Row

HEADERS = ("arm", "to", "verdict", "p, difference", "p, same", "more seeds")


def table(
    experiment: Experiment, rows: Sequence[Row], margin: float, format: str
) -> str:
    """Returns a table with the verdict on each arm that is compared to another arm.

    The columns "p, difference" and "p, same" are the p-values of the paired t-test and
    of the two one-sided tests, both corrected by Holm. The column "more seeds" says how
    many more seeds would probably decide an undecided arm.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      margin: differences below this size count as the same, in the unit of the metric
        (0.01 for one point of accuracy).
      format: a table format of `tabulate`.
    """
    pairs = results.pairs(experiment, rows)
    against = {arm.name: arm.against for arm in experiment.arms}
    lines = []
    for arm, found in equivalence.decide(pairs, margin).items():
        more = ""
        if found.verdict == equivalence.UNDECIDED:
            seeds = planning.more_seeds(*pairs[arm], arms=len(pairs), margin=margin)
            more = "unknown" if seeds is None else f"about {seeds}"
        ps = map(p_text, (found.p_value, found.same_p_value))
        lines.append([arm, against[arm], found.verdict, *ps, more])
    return tabulate(
        lines,
        HEADERS,
        format,
        disable_numparse=True,
        colalign=("left", "left", "left", "right", "right", "right"),
    )


def p_text(p_value: float | None) -> str:
    """Returns a p-value as text with three decimals; "" if there is none."""
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"
