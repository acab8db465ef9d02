"""Simulated sweeps of known variances: do the statistics keep what they promise?

    python -m cnn_jax.sweeps.simulate

prints a table of the coverage of the 95% intervals, the rate of false claims and the
power, in about two minutes. Each row has 1,000 simulated sweeps; a power has 4,000.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from tabulate import tabulate

from cnn_jax.sweeps.statistics import equivalence, planning, power, sequential
from cnn_jax.sweeps.statistics.bootstrap import crossed_difference
from cnn_jax.sweeps.statistics.equivalence import LEVEL, SAME, UNDECIDED, Pair
from cnn_jax.sweeps.statistics.paired import paired_difference

SWEEPS = 1000
# More sweeps for a power: 1,000 find it to 2.5 points, and 3 points are allowed.
FOR_POWER = 4
SEEDS = (3, 5, 10)
EXAMPLES = 200
ARMS = 6
MARGIN = 1.0
# Standard deviations of a difference: between seeds, between examples, and the rest.
DEVIATIONS = {
    "mostly seeds": (1.0, 1.0, 1.0),
    "mostly examples": (0.02, 1.0, 1.0),
    "seeds and examples": (0.1, 1.0, 1.0),
    "mostly the rest": (0.0, 0.0, 1.0),
    "all three": (0.1, 1.0, 2.0),
}
# Differences to detect, in standard deviations of the differences between paired runs.
EFFECTS = (1.5 / 0.7, 1.0, 0.5)


@dataclass(frozen=True)
class Row:
    """One measured share of simulated sweeps, and the range in which it should be."""

    measured: str
    setting: str
    low: float
    high: float
    share: float

    @property
    def kept(self) -> bool:
        return self.low <= self.share <= self.high


def rows(sweeps: int = SWEEPS, seed: int = 0) -> Iterator[Row]:
    """Yields the rows of the table of coverage, false claims and power.

    Args:
      sweeps: the number of simulated sweeps of each row. Rows that measure a power
        have `FOR_POWER` times as many sweeps.
      seed: the seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    for seeds in SEEDS:
        yield _student_coverage(rng, sweeps, seeds)
    for seeds in SEEDS:
        for setting in (*DEVIATIONS, "correct or not"):
            yield _crossed_coverage(rng, sweeps, seeds, setting)
    # The true difference of each arm, and the looks: five, or one for each new seed.
    apart, five, all_looks = MARGIN, sequential.schedule(30), list(range(3, 31))
    yield _false_claims(rng, sweeps, "no arm differs", [0.0] * ARMS, five)
    yield _false_claims(rng, sweeps, "all differ by the margin", [apart] * ARMS, five)
    mixed = [0.0, apart] * (ARMS // 2)
    yield _false_claims(rng, sweeps, "half of the arms differ", mixed, five)
    yield _false_claims(rng, sweeps, "half of the arms differ", mixed, all_looks)
    for effect in EFFECTS:
        for looks in (1, sequential.LOOKS):
            yield _power(rng, FOR_POWER * sweeps, effect, looks)
    yield _same_power(rng, FOR_POWER * sweeps)
    for effect in EFFECTS:
        yield _pilot(rng, sweeps, effect)


def _pair(values: NDArray[np.float64]) -> Pair:
    """Returns an arm with these values and a base arm of zeros."""
    return dict(enumerate(values.tolist())), dict.fromkeys(range(len(values)), 0.0)


def _student_coverage(rng: Generator, sweeps: int, seeds: int) -> Row:
    covered = 0
    for values in rng.normal(0.5, 1.0, (sweeps, seeds)):
        found = paired_difference(*_pair(values))
        covered += found is not None and found.low <= 0.5 <= found.high
    setting = f"{seeds} seeds"
    return Row("coverage, Student", setting, 0.93, 0.97, covered / sweeps)


def _crossed_coverage(rng: Generator, sweeps: int, seeds: int, setting: str) -> Row:
    covered = 0
    for _ in range(sweeps):
        arm, base = _scores(rng, seeds, setting)
        found = crossed_difference(dict(enumerate(arm)), dict(enumerate(base)))
        covered += found is not None and found.low <= 0 <= found.high
    setting = f"{seeds} seeds, {setting}"
    return Row("coverage, crossed", setting, 0.93, 0.97, covered / sweeps)


def _scores(
    rng: Generator, seeds: int, setting: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the scores [seeds, examples] of two arms; the true difference is 0.

    For "correct or not", the scores are 1 or 0, and about 80% are 1: easy and hard
    examples of both arms and of each arm, better and worse seeds of each arm.
    """
    shape = 2, seeds, EXAMPLES
    if setting == "correct or not":
        shared = rng.normal(1.5, 1.0, EXAMPLES)
        of_arm = rng.normal(0.0, 0.5, (2, 1, EXAMPLES))
        of_seed = rng.normal(0.0, 0.1, (2, seeds, 1))
        first, second = shared + of_arm + of_seed + rng.standard_normal(shape) > 0
        return first.astype(np.float64), second.astype(np.float64)
    by_seed, by_example, rest = DEVIATIONS[setting]
    table = by_seed * rng.standard_normal((seeds, 1))
    table = table + by_example * rng.standard_normal(EXAMPLES)
    table = table + rest * rng.standard_normal(shape[1:])
    return table, np.zeros_like(table)


def _sweep(rng: Generator, means: Sequence[float], seeds: int) -> dict[str, Pair]:
    """Returns a sweep whose arms share a base arm.

    The differences between paired runs have the standard deviation 1. Since the base is
    shared, the differences of two arms have the correlation 1/2.
    """
    base = dict(enumerate(rng.normal(0.0, 0.5**0.5, seeds).tolist()))
    drawn = rng.normal(means, 0.5**0.5, (seeds, len(means))).T.tolist()
    return {f"arm {i}": (dict(enumerate(v)), base) for i, v in enumerate(drawn)}


def _false_claims(
    rng: Generator, sweeps: int, setting: str, means: Sequence[float], looks: list[int]
) -> Row:
    """Returns the share of sweeps with one false claim or more, of either kind."""
    wrong = 0
    for _ in range(sweeps):
        arms = _sweep(rng, means, looks[-1])
        found = sequential.decide(arms, looks, looks[-1], MARGIN)
        wrong += any(
            _is_false(stop.verdict, mean)
            for stop, mean in zip(found.values(), means, strict=True)
        )
    setting = f"{ARMS} arms, {len(looks)} looks, {setting}"
    return Row("false claims", setting, 0.0, LEVEL, wrong / sweeps)


def _is_false(verdict: str, mean: float) -> bool:
    """Returns True if the verdict is false for a true difference of 0 or the margin."""
    if mean:
        return verdict == SAME or verdict.endswith(equivalence.SLIGHTLY)
    return verdict not in (SAME, UNDECIDED)


def _power(rng: Generator, sweeps: int, effect: float, looks: int) -> Row:
    """Returns the share of sweeps that find one arm that differs, as planned."""
    plan = planning.plan(effect, 1.0, arms=ARMS, looks=looks)
    assert plan is not None
    others, hits = [0.0] * (ARMS - 1), 0
    at = sequential.schedule(plan.seeds, looks)
    for _ in range(sweeps):
        if looks == 1:
            found = equivalence.decide(_sweep(rng, [effect, *others], plan.seeds))
            verdict = found["arm 0"].verdict
        else:  # the other arms count, but do not change the verdict
            arm = _sweep(rng, [effect], plan.seeds)
            stops = sequential.decide(arm, at, plan.seeds, level=LEVEL / ARMS)
            verdict = stops["arm 0"].verdict
        hits += verdict == equivalence.BETTER
    setting = f"{effect:.2f} deviations, {plan.seeds} seeds, {looks} looks"
    low, high = plan.power - 0.03, plan.power + 0.03
    return Row("power, difference", setting, low, high, hits / sweeps)


def _same_power(rng: Generator, sweeps: int) -> Row:
    """Returns the share of sweeps of one equal arm that show equivalence."""
    seeds, hits = 12, 0
    for values in rng.normal(0.0, 1.0, (sweeps, seeds)):
        p_value = equivalence.same_p_value(*_pair(values), MARGIN)
        hits += p_value is not None and p_value < LEVEL
    promised = power.same_power(0.0, 1.0, MARGIN, seeds)
    setting = f"{MARGIN:.2f} deviations as the margin, {seeds} seeds"
    low, high = promised - 0.03, promised + 0.03
    return Row("power, equivalence", setting, low, high, hits / sweeps)


def _pilot(rng: Generator, sweeps: int, effect: float) -> Row:
    """Returns the share of pilots whose plan has the promised power or more."""
    kept = 0
    for values in rng.standard_normal((sweeps, 3)):
        deviation = planning.upper_deviation(*_pair(values))
        assert deviation is not None
        plan = planning.plan(effect, deviation, arms=ARMS)
        seeds = plan.seeds if plan else planning.MOST
        reached = power.difference_power(effect, 1.0, seeds, LEVEL / ARMS)
        kept += reached >= planning.POWER
    setting = f"{effect:.2f} deviations, from pilots of 3 seeds"
    low = planning.CONFIDENCE - 0.03
    return Row("plans with 80% power", setting, low, 1.0, kept / sweeps)


def table(found: Sequence[Row]) -> str:
    """Returns the rows as a table in plain text."""
    lines = [
        [
            *(row.measured, row.setting, f"{row.low:.1%} to {row.high:.1%}"),
            *(f"{row.share:.1%}", "yes" if row.kept else "NO"),
        ]
        for row in found
    ]
    headers = ["share", "setting", "wanted", "found", "kept"]
    return tabulate(lines, headers, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns 1 if a share is out of its range, otherwise 0."""
    parser = argparse.ArgumentParser(prog="python -m cnn_jax.sweeps.simulate")
    parser.description = "Simulates sweeps, and checks intervals, verdicts and plans."
    parser.add_argument("--sweeps", type=int, default=SWEEPS, help="sweeps of each row")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation")
    flags = parser.parse_args(argv)
    if flags.sweeps < 1:
        parser.error(f"--sweeps={flags.sweeps}: give a number of at least 1")
    start = time.perf_counter()
    found = list(rows(flags.sweeps, flags.seed))
    print(table(found))
    seconds = time.perf_counter() - start
    print(
        f"\n{flags.sweeps:,} sweeps a row, {FOR_POWER * flags.sweeps:,} for a power; "
        f"{seconds:.0f} s"
    )
    return 0 if all(row.kept for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
