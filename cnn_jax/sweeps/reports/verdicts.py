"""The verdict on each arm of a sweep: better, worse, the same, or undecided."""

from collections.abc import Sequence

from cnn_jax.sweeps import pilot, results, units
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.statistics import equivalence, planning
from cnn_jax.sweeps.statistics.equivalence import LEVEL
from cnn_jax.sweeps.statistics.sequential import Stop
from cnn_jax.sweeps.text_table import aligned


def paragraphs(
    experiment: Experiment, rows: Sequence[Row], protocol: Protocol, format: str
) -> list[str]:
    """Returns the paragraphs of a report about the protocol.

    They are the verdicts, if there is a margin or if there are looks, what the verdicts
    promise, and the planned number of seeds, if a difference to detect is given.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      protocol: the protocol of the sweep.
      format: a table format of `tabulate`.
    """
    parts = []
    if protocol.looks or protocol.margin is not None:
        within = ""
        if size := protocol.size(experiment):
            metric = results.main_metric(experiment)
            within = f", with a margin of {units.amount(metric, size)}"
        said = table(experiment, rows, protocol, format)
        parts += [f"Verdicts{within}:", said, _promise(protocol)]
    if protocol.seen and set(protocol.seen) != set(protocol.seeds):
        parts.append(_seen(protocol))
    if protocol.detect is not None:
        parts += pilot.paragraphs(experiment, rows, protocol.detect, format)
    return parts


def table(
    experiment: Experiment, rows: Sequence[Row], protocol: Protocol, format: str
) -> str:
    """Returns a table with the verdict on each arm that is compared to another arm.

    With looks, the column "seeds" has the number of seeds at the look that decided, or
    at the last look. Without looks, the columns "p, difference" and "p, same" are the
    p-values of the paired t-test and of the two one-sided tests, both corrected by
    Holm. The column "more seeds" says how many more seeds would probably decide an
    undecided arm.

    See `paragraphs` for the arguments.
    """
    pairs = results.pairs(experiment, rows)
    against = experiment.against
    size = protocol.size(experiment)
    headers = ["arm", "to", "verdict"]
    headers += ["seeds"] if protocol.looks else ["p, difference", "p, same"]
    headers += [] if protocol.looks else ["more seeds"]
    lines = []
    for arm, found in protocol.decide(experiment, rows).items():
        line = [arm, str(against[arm]), found.verdict]
        if isinstance(found, Stop):
            line.append(str(found.seeds))
        else:
            more = ""
            if found.verdict == equivalence.UNDECIDED:
                seeds = planning.more_seeds(*pairs[arm], arms=len(pairs), margin=size)
                more = "unknown" if seeds is None else f"about {seeds}"
            line += [
                units.p_text(found.p_value),
                units.p_text(found.same_p_value),
                more,
            ]
        lines.append(line)
    return aligned(lines, headers, format, left=3)


def _promise(protocol: Protocol) -> str:
    """Returns how many false verdicts the protocol allows."""
    if not protocol.looks:
        return (
            f"The probability of a false difference is at most {LEVEL:.0%} over all "
            'arms, and so is the probability of a false "same" (Holm). '
            "*p, difference*: adjusted p of the paired t-test. *p, same*: adjusted p "
            "of two one-sided t-tests (TOST). *more seeds*: further seeds that would "
            "decide with a probability of 80%, if the measured difference is the true "
            "one."
        )
    *first, last = map(str, protocol.looks)
    looks = (
        f"looks at {', '.join(first)} and {last}" if first else f"one look at {last}"
    )
    return (
        f"Each arm has up to {len(protocol.seeds)} seeds, with {looks} seeds. The "
        f"probability of a false verdict is at most {LEVEL:.0%} over all arms and "
        "looks (levels of Lan and DeMets 1983, O'Brien-Fleming). The intervals and "
        "p-values of the table of arms are not corrected for the looks. If an arm was "
        "decided early, its true difference is probably smaller than its mean."
    )


def _seen(protocol: Protocol) -> str:
    """Returns a warning about runs that were complete before the protocol was fixed."""
    return (
        f"Runs of the seeds {', '.join(map(str, protocol.seen))} were complete before "
        "this number of seeds was fixed. If it was chosen because of their results, "
        f"more than {LEVEL:.0%} of such sweeps have a false verdict. New seeds in "
        "another --workdir give an answer without this doubt."
    )
