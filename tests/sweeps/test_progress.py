"""The progress of a sweep on the console: the numbers of runs, and the time left."""

from pathlib import Path

import pytest

from cnn_jax.sweeps import progress
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.run import Run
from cnn_jax.training.config import Config

DONE, FAILED = Outcome("done"), Outcome("failed", "the loss is nan")


def run_of(arm):
    return Run(arm, 0, Config({}), Path("sweep") / arm, ("true",))


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds)`: lets time go by."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


@pytest.mark.parametrize(("at_once", "left"), [(1, "0:03:20"), (2, "0:01:40")])
def test_the_time_that_is_left(at_once, left, clock, capsys):
    """Each remaining run takes the mean time of the complete runs."""
    runs = [run_of("abc"[i]) for i in range(3)]
    with progress.Progress(0, 4, at_once) as shown:
        for seconds, run in zip((80, 120), runs, strict=False):
            shown.show(run, None)
            clock(seconds)
            shown.show(run, DONE)
    line = capsys.readouterr().err.splitlines()[-1]
    assert (
        line
        == f"b/seed0: done after 0:02:00 (2/4 done, 0 running, 0 failed, {left} left)"
    )


def test_a_run_that_failed_does_not_count_for_the_time_left(clock, capsys):
    with progress.Progress(1, 3, 1) as shown:
        shown.show(run_of("a"), None)
        clock(1)
        shown.show(run_of("a"), FAILED)
    assert "left" not in capsys.readouterr().err
