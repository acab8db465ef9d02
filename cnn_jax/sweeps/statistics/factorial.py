"""Fractional factorial designs: the main effects of many factors from few arms."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from cnn_jax.sweeps import units
from cnn_jax.sweeps.statistics.paired import Difference, holm, paired_difference
from cnn_jax.sweeps.text_table import aligned

# The metric of each run of an arm, by seed.
Runs = Mapping[int, float]
Factors = frozenset[str]


def fraction(
    basic: Sequence[str], generated: Mapping[str, Sequence[str]]
) -> list[Factors]:
    """Returns the arms of a two-level design: the factors that are on, for each arm.

    The basic factors have all combinations. A generated factor is on in an arm if an
    odd number of its basic factors is on (Box, Hunter and Hunter 2005, "Statistics for
    Experimenters", chapter 6). With three basic factors for each, every main effect is
    clear of the interactions of two factors (resolution IV).

    Args:
      basic: the basic factors.
      generated: the basic factors of each generated factor; an odd number of them, so
        that the design has the arm in which all factors are on.
    """
    arms = []
    for levels in itertools.product((False, True), repeat=len(basic)):
        on = {factor for factor, level in zip(basic, levels, strict=True) if level}
        more = {name for name, parents in generated.items() if len(on & {*parents}) % 2}
        arms.append(frozenset(on | more))
    return arms


def main_effects(
    values: Mapping[str, Runs], design: Mapping[str, Factors]
) -> dict[str, Difference]:
    """Returns the main effect of each factor.

    The effect is the mean over the arms in which the factor is on minus the mean over
    the other arms, for each seed. The interval and the p-value are those of a t-test
    over the seeds.

    Args:
      values: the metric of each run, by arm and by seed. Seeds that not all arms of the
        design have are left out.
      design: the factors that are on, by arm.

    Returns:
      The effects; {} if no seed is left.
    """
    runs = {arm: values.get(arm, {}) for arm in design}
    seeds = sorted(set.intersection(*(set(found) for found in runs.values())))
    found = {}
    for factor in dict.fromkeys(itertools.chain(*map(sorted, design.values()))):
        on, off = (
            {
                seed: float(
                    np.mean(
                        [
                            runs[a][seed]
                            for a, f in design.items()
                            if (factor in f) == level
                        ]
                    )
                )
                for seed in seeds
            }
            for level in (True, False)
        )
        if effect := paired_difference(on, off):
            found[factor] = effect
    return found


def effects_table(
    values: Mapping[str, Runs], design: Mapping[str, Factors], metric: str
) -> str:
    """Returns the main effects as a Markdown table, the largest first, with a caption.

    Args:
      values, design: see `main_effects`.
      metric: the name of the metric.
    """
    effects = main_effects(values, design)
    if not effects:
        return "No seed has runs of all arms of the factorial design."
    corrected = holm([effect.p_value for effect in effects.values()])
    lines = [
        [
            factor,
            units.signed(metric, effect.mean),
            units.interval(metric, effect) if effect.seeds > 1 else "",
            units.p_text(p),
        ]
        for (factor, effect), p in zip(effects.items(), corrected, strict=True)
    ]
    lines.sort(key=lambda line: -float(line[1]))
    seeds = min(effect.seeds for effect in effects.values())
    return "\n\n".join(
        [
            f"Main effects: the mean {metric} of the arms with a factor minus the mean "
            f"of the arms without it, over the {len(design)} arms of a fractional "
            f"factorial design with {seeds} seeds. The p-values are corrected for the "
            "number of factors by Holm's method:",
            aligned(
                lines, ["factor", "effect", "95% interval", "adjusted p"], "github"
            ),
        ]
    )
