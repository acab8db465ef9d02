"""Analysis of variance of crossed arms: two factors, and seeds as blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from cnn_jax.sweeps import results, units
from cnn_jax.sweeps.experiment import Experiment, Grid
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.text_table import aligned

MOST_MISSING = 5  # runs that are named
KINDS = ("rows", "columns")


@dataclass(frozen=True)
class Effect:
    """The effect of one factor, or the interaction of both.

    Attributes:
      f: the F statistic.
      freedom: the degrees of freedom of the effect and of its error.
      epsilon: the factor of Greenhouse and Geisser for both degrees of freedom.
      p_value: the p-value of the null hypothesis of no effect, with the corrected
        degrees of freedom.
      share: partial eta squared: the effect's share of the variance that remains
        without the other effects, from 0 to 1.
    """

    f: float
    freedom: tuple[int, int]
    epsilon: float
    p_value: float
    share: float


def analysis(
    values: NDArray[np.float64],
) -> tuple[Effect | None, Effect | None, Effect | None]:
    """Returns the effects of the rows, of the columns, and their interaction.

    This is the analysis of variance with repeated measures: each seed is a block, and
    each effect has its own error, the effect's interaction with the seeds. The degrees
    of freedom of effects with more than one are corrected, because the arms' variances
    may differ (Greenhouse and Geisser 1959, Psychometrika 24).

    An effect is None if its error has no variance.

    Args:
      values: the metric of each run, [seeds, rows, columns], with two or more of each.
    """
    seeds, rows, columns = values.shape
    flat, contrasts = values.reshape(seeds, -1), linalg.helmert
    return (
        _effect(flat @ np.kron(contrasts(rows), _average(columns)).T),
        _effect(flat @ np.kron(_average(rows), contrasts(columns)).T),
        _effect(flat @ np.kron(contrasts(rows), contrasts(columns)).T),
    )


def _average(count: int) -> NDArray[np.float64]:
    """Returns the contrast that averages over a factor, with the length 1."""
    return np.full((1, count), count**-0.5)


def _effect(found: NDArray[np.float64]) -> Effect | None:
    """Returns the effect from its orthonormal contrasts, [seeds, contrasts]."""
    seeds, count = found.shape
    mean = found.mean(0)
    rest = found - mean
    effect, error = seeds * float(mean @ mean), float(np.square(rest).sum())
    # Rounding leaves an error of about 1e-17 between equal values.
    if error <= 1e-24 * float(np.square(found).sum()):
        return None
    freedom = count, count * (seeds - 1)
    f = (effect / freedom[0]) / (error / freedom[1])
    covariance = rest.T @ rest
    epsilon = float(np.trace(covariance) ** 2 / (count * np.square(covariance).sum()))
    return Effect(
        f=f,
        freedom=freedom,
        epsilon=epsilon,
        p_value=float(special.fdtrc(epsilon * freedom[0], epsilon * freedom[1], f)),
        share=effect / (effect + error),
    )


def paragraphs(experiment: Experiment, rows: Sequence[Row]) -> list[str]:
    """Returns the analysis of crossed arms in Markdown; [] if arms are not crossed.

    If some arms have fewer seeds, because a look decided them early, the analysis takes
    the seeds of all arms.
    """
    if not (grid := experiment.grid):
        return []
    found = results.by_arm(experiment, rows)
    planned: dict[str, set[int]] = {}
    for run in experiment.runs:
        planned.setdefault(run.arm, set()).add(run.seed)
    seeds = sorted(set.intersection(*planned.values()))
    fewer = len(seeds) < len(set.union(*planned.values()))
    missing = [
        f"{arm}/seed{seed}" for arm in found for seed in seeds if seed not in found[arm]
    ]
    if missing:
        more = f" and {len(missing) - MOST_MISSING} more"
        said = ", ".join(missing[:MOST_MISSING]) + more * (len(missing) > MOST_MISSING)
        return [f"The effects of the two factors need every run. Missing: {said}."]
    if len(seeds) < 2:
        return ["The effects of the two factors need two or more seeds."]
    across, down = grid
    values = [
        [[found[f"{row}, {column}"][seed] for column in down] for row in across]
        for seed in seeds
    ]
    looks = f" {FEWER.format(len(seeds))}" if fewer else ""
    return [_table(grid, analysis(np.array(values))), LEGEND + looks]


LEGEND = (
    "*F* and *p*: analysis of variance with the seeds as blocks (repeated measures), "
    "p corrected by Greenhouse and Geisser. *share*: partial eta squared, the share of "
    "the variance that the effect explains if the other effects are taken out. The "
    "interaction says whether the effect of the rows depends on the column. If it "
    "does, the effects of rows and columns are only averages: read the cross table. "
    "The three p-values are not corrected for each other."
)
FEWER = (
    "The analysis takes the {} seeds that all arms have, and is not corrected for the "
    "looks."
)


def _table(grid: Grid, effects: Sequence[Effect | None]) -> str:
    names = [
        f"{kind}: {', '.join(names)}" for kind, names in zip(KINDS, grid, strict=True)
    ]
    lines = [
        [name, *_cells(effect)]
        for name, effect in zip([*names, "interaction"], effects, strict=True)
    ]
    return aligned(lines, ["effect", "F", "p", "share"], "github", left=2)


def _cells(effect: Effect | None) -> list[str]:
    if effect is None:
        return ["no variance over seeds", "", ""]
    f = f"F({effect.freedom[0]}, {effect.freedom[1]}) = {effect.f:.2f}"
    return [f, units.p_text(effect.p_value), f"{effect.share:.0%}"]
