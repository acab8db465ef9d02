"""The plan that a sweep fixes before its first run, and the verdicts."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import protocol, results
from cnn_jax.sweeps.protocol import Protocol
from cnn_jax.sweeps.statistics import equivalence, sequential
from tests.sweeps.conftest import accuracies


@pytest.fixture
def complete(fake):
    """The experiment and the rows of a sweep of two arms and twelve seeds."""
    sweep = fake(apart=accuracies(0.05, 0.001, 1), near=accuracies(0.0, 0.001, 2))
    experiment = sweep.experiment(range(12))
    for run in experiment.runs:
        sweep.finish(run)
    return experiment, sweep.read(experiment)


def test_one_look_is_decided_by_holm(complete):
    experiment, rows = complete
    made = protocol.make(experiment, margin=1.0)
    assert made.seeds == tuple(range(12)) and made.looks == ()
    pairs = results.pairs(experiment, rows)
    assert made.decide(experiment, rows) == equivalence.decide(pairs, 0.01)
    assert made.runs(experiment, []) == list(experiment.runs)


def test_looks_are_decided_by_their_levels(complete):
    experiment, rows = complete
    made = protocol.make(experiment, margin=1.0, until=True)
    assert made.looks == tuple(sequential.schedule(12)) == (3, 5, 8, 10, 12)
    pairs = results.pairs(experiment, rows)
    expected = sequential.decide(pairs, made.looks, 12, 0.01)
    assert made.decide(experiment, rows) == expected
    assert {s.verdict for s in expected.values()} == {"better", "same"}
    # No look is possible while one of its runs is missing.
    few = [row for row in rows if row.run.seed != 2]
    assert {s.seeds for s in made.decide(experiment, few).values()} == {0}
    assert {run.seed for run in made.runs(experiment, few)} == {0, 1, 2}


def test_without_a_margin_no_arm_is_the_same(complete):
    experiment, rows = complete
    made = protocol.make(experiment, until=True)
    found = made.decide(experiment, rows)
    assert found["apart"].verdict == "better"
    assert (found["near"].verdict, found["near"].seeds) == ("undecided", 12)


def test_flags():
    assert Protocol((0, 1, 2)).flags() == ["--seeds=3"]
    assert Protocol((0, 1, 2)).flags(default=(0, 1, 2)) == []
    assert Protocol((7,), margin=0.5).flags() == ["--seeds=7,", "--margin=0.5"]
    assert Protocol((5, 6), detect=2.0).flags() == ["--seeds=5,6", "--detect=2"]
    looks = Protocol(tuple(range(12)), 1.0, (3, 12))
    expected = ["--until=decided", "--max_seeds=12", "--margin=1"]
    assert looks.flags() == looks.flags(range(12)) == expected


def test_there_must_be_something_to_decide(fake):
    experiment = fake().experiment((0, 1))
    with pytest.raises(UserError, match="no arm of fake is compared to another arm"):
        protocol.make(experiment, until=True)
