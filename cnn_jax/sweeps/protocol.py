"""The protocol of a sweep: its seeds, its margin, and the looks at its results.

A maximum number of seeds, looks or a margin that are chosen after a look at the results
make more false claims than promised. Therefore `protocol_file` fixes the protocol
before the first run.
"""

import dataclasses
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import results, units
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.results import Row
from cnn_jax.sweeps.run import Run
from cnn_jax.sweeps.statistics import equivalence, sequential
from cnn_jax.sweeps.statistics.equivalence import LEVEL, UNDECIDED, Decision, Pair
from cnn_jax.sweeps.statistics.sequential import Stop

# A run with such a status does not change a look any more, unless it is trained again.
ENDED = ("done", "failed", "unusable")


@dataclass(frozen=True)
class Protocol:
    """The protocol of a sweep.

    Attributes:
      seeds: the seeds of each arm, ascending if there are looks. With looks, an arm may
        need fewer seeds.
      margin: differences below this size count as the same, in percentage points for
        shares and otherwise in the unit of the metric. None: no arm is called the same.
      looks: the numbers of seeds at which arms are decided; empty if all seeds of all
        arms are trained, and then compared once.
      arms: the names of the arms. Their number corrects the level of the tests.
      seen: the seeds of the runs that were complete before the protocol was fixed.
      detect: the difference that the sweep should detect, in the unit of the margin.
        The report then says how many seeds are needed. None: no such plan.
    """

    seeds: tuple[int, ...]
    margin: float | None = None
    looks: tuple[int, ...] = ()
    arms: tuple[str, ...] = ()
    seen: tuple[int, ...] = field(default=(), compare=False)
    detect: float | None = field(default=None, compare=False)

    def size(self, experiment: Experiment) -> float | None:
        """Returns the margin in the unit of the metric: 0.01 for one point."""
        return None if self.margin is None else in_metric(experiment, self.margin)

    def decide(
        self, experiment: Experiment, rows: Sequence[Row]
    ) -> Mapping[str, Decision | Stop]:
        """Returns the verdict on each arm that is compared to another arm.

        The verdicts are those of `sequential.decide` if there are looks, and of
        `equivalence.decide` otherwise. They depend on the protocol and on the results
        alone.
        """
        if not self.looks:
            pairs = results.pairs(experiment, rows)
            return equivalence.decide(pairs, self.size(experiment))
        return {arm: stop for arm, (stop, _) in self._stops(experiment, rows).items()}

    def runs(self, experiment: Experiment, rows: Sequence[Row]) -> list[Run]:
        """Returns the runs that the protocol needs, complete or not.

        Without looks, these are all runs. With looks, an arm needs the seeds of its
        next look until a look decides. A base arm needs the seeds of the arms that are
        compared to it. Other arms need the seeds of the first look.
        """
        if not self.looks:
            return list(experiment.runs)
        counts = {arm.name: self.looks[0] for arm in experiment.arms}
        against = experiment.against
        for arm, (_, count) in self._stops(experiment, rows).items():
            for name in filter(None, (arm, against[arm])):
                counts[name] = max(counts[name], count)
        return [
            run for run in experiment.runs if run.seed in self.seeds[: counts[run.arm]]
        ]

    def shown(self, experiment: Experiment, rows: Sequence[Row]) -> Experiment:
        """Returns the experiment as a report shows it.

        Its runs are those of `runs`, and its command has the flags of the protocol.
        """
        flags = self.flags(experiment.default_seeds)
        return dataclasses.replace(
            experiment,
            runs=tuple(self.runs(experiment, rows)),
            command=" ".join([experiment.command, *flags]),
        )

    def flags(self, default: Sequence[int] = ()) -> list[str]:
        """Returns the flags of the command `sweep` for this protocol.

        Args:
          default: the seeds that need no flag.
        """
        found = []
        if self.looks:
            found = ["--until=decided", f"--max_seeds={len(self.seeds)}"]
        elif self.seeds != tuple(default):
            found = [f"--seeds={seeds_text(self.seeds)}"]
        if self.margin is not None:
            found.append(f"--margin={self.margin:g}")
        if self.detect is not None:
            found.append(f"--detect={self.detect:g}")
        return found

    def _stops(
        self, experiment: Experiment, rows: Sequence[Row]
    ) -> dict[str, tuple[Stop, int]]:
        """Returns the state of each compared arm, and its number of needed seeds."""
        ended = {(r.run.arm, r.run.seed) for r in rows if r.outcome.status in ENDED}
        pairs = results.pairs(experiment, rows)
        against = experiment.against
        found = {}
        for arm, pair in pairs.items():
            both = {
                seed
                for seed in self.seeds
                if {(arm, seed), (against[arm], seed)} <= ended
            }
            counts = self._counts(pair, both)
            stop = sequential.decide(
                {arm: pair},
                sorted({*counts} - {0}),
                len(self.seeds),
                self.size(experiment),
                LEVEL / len(pairs),
            )[arm]
            found[arm] = stop, self._needed(stop, counts)
        return found

    def _counts(self, pair: Pair, ended: Container[int]) -> list[int]:
        """Returns the number of seeds that both arms have, at each look so far.

        A look is possible when all its runs have ended. A failed run counts as ended;
        the look then has fewer seeds than planned, and its level is that of these fewer
        seeds.

        Args:
          pair: the metric of the arm and of its base arm, by seed.
          ended: the seeds whose runs have ended in both arms.
        """
        values, base = pair
        counts = []
        for planned in self.looks:
            seeds = self.seeds[:planned]
            if not all(seed in ended for seed in seeds):
                break
            counts.append(sum(seed in values and seed in base for seed in seeds))
        return counts

    def _needed(self, stop: Stop, counts: Sequence[int]) -> int:
        """Returns the number of seeds that an arm needs.

        An arm without any complete pair of runs at a look gets no more seeds.

        Args:
          stop: the state of the arm.
          counts: the result of `_counts`.
        """
        if stop.verdict != UNDECIDED:
            return self.looks[counts.index(stop.seeds)]
        given_up = bool(counts) and counts[-1] == 0
        if given_up or len(counts) == len(self.looks):
            return self.looks[len(counts) - 1]
        return self.looks[len(counts)]


def make(
    experiment: Experiment,
    *,
    margin: float | None = None,
    until: bool = False,
    detect: float | None = None,
) -> Protocol:
    """Returns the protocol of an experiment, with the seeds of its runs.

    Args:
      experiment: the experiment.
      margin, detect: see `Protocol`.
      until: True to decide at several looks; the number of seeds is then the maximum.

    Raises:
      UserError: if `until` is True, and no arm is compared to another arm.
    """
    seeds = tuple(dict.fromkeys(run.seed for run in experiment.runs))
    if until and not any(arm.against for arm in experiment.arms):
        raise UserError(
            f"no arm of {experiment.name} is compared to another arm, so there is "
            "nothing to decide: leave out --until, or add an arm."
        )
    return Protocol(
        seeds,
        margin,
        tuple(sequential.schedule(len(seeds))) if until else (),
        tuple(arm.name for arm in experiment.arms),
        detect=detect,
    )


def in_metric(experiment: Experiment, size: float) -> float:
    """Returns a size in the unit of the metric: 0.01 for one point of accuracy."""
    return size / units.scale(results.main_metric(experiment))


def seeds_text(seeds: Sequence[int]) -> str:
    """Returns the value of the flag --seeds for these seeds."""
    if tuple(seeds) == tuple(range(len(seeds))):
        return str(len(seeds))
    return ",".join(map(str, seeds)) + "," * (len(seeds) == 1)
