"""The difference of two arms over seeds and test examples, from kept predictions."""

from collections.abc import Sequence

from cnn_jax.sweeps import predictions, results
from cnn_jax.sweeps.predictions import Predictions
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.statistics import bootstrap
from cnn_jax.sweeps.statistics.bootstrap import CrossedDifference

# Reasons why there is no interval over seeds and test examples.
NOT_ACCURACY = "only an accuracy has a score for each test example"
NOT_KEPT = f"not every run has a usable file {predictions.FILE}"
OTHER_EXAMPLES = "the runs have different test examples"


def kept(rows: Sequence[Row], arm: str) -> dict[int, Predictions]:
    """Returns the predictions of an arm's complete runs, by seed.

    Runs without predictions, or with a damaged file, are left out; see
    `results.complaints`.
    """
    return {
        row.run.seed: row.predictions.found
        for row in rows
        if row.run.arm == arm and row.predictions.found is not None
    }


def difference(
    rows: Sequence[Row], arm: str, base: str, metric: str
) -> tuple[CrossedDifference | None, str]:
    """Returns the difference of two arms over seeds and test examples.

    If there is none, the result is None and the reason. The reason is "" if the arms
    have fewer than two seeds in common: then there is no interval of any kind.

    Args:
      rows: the rows of all runs.
      arm: the name of the arm.
      base: the name of the base arm.
      metric: the name of the main metric.
    """
    seeds = set.intersection(
        *(set(results.by_seed(rows, name, metric)) for name in (arm, base))
    )
    if len(seeds) < 2:
        return None, ""
    if metric != results.ACCURACY:
        return None, NOT_ACCURACY
    found = [kept(rows, name) for name in (arm, base)]
    if any(not seeds <= one.keys() for one in found):
        return None, NOT_KEPT
    if len({one[seed].examples for one in found for seed in seeds}) > 1:
        return None, OTHER_EXAMPLES
    scores = [{seed: one[seed].correct for seed in seeds} for one in found]
    return bootstrap.crossed_difference(*scores), ""
