"""Searches with a launcher that trains nothing: proposals, pruning, and ends."""

import json
import math
import os
import signal
import textwrap

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import experiment
from cnn_jax.sweeps.experiment import TRIAL_SEED
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.searches import search, study
from cnn_jax.training.signals import Stopped

optuna = pytest.importorskip("optuna")

HEAD = '''
    """Which rate is the best?"""

    from cnn_jax.sweeps.arms import Arm
    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits(epochs=2)
        config.model = {"name": "mlp", "hidden": (8,)}
        config.eval.test_curve = True
        return config
'''
SEARCH = """
    def search(trial):
        rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
        return {"optimizer.learning_rate": rate}
"""
TUNED = """
    def sweep():
        yield Arm("narrow", tune=("optimizer.learning_rate",))
        yield Arm(
            "wide",
            {"model.hidden": (16,)},
            tune={
                "optimizer.learning_rate": (0.01, 0.5),
                "optimizer.momentum": (0, 0.5),
            },
        )
"""


def score_of(run):
    """The best rate is 0.03."""
    return 1 - abs(math.log10(run.config.optimizer.learning_rate / 0.03)) / 4


class Killed(BaseException):
    """The end of the process."""


class Launcher:
    """Trains nothing; a run is done when `slots` runs are under way.

    Args:
      score: the score of a run, or None if the run fails.
      slots: the number of runs at a time.
      events: the number of events after which the process is killed.
      percents: the shares of a run after which it is evaluated.
    """

    def __init__(self, score=score_of, slots=1, events=None, percents=()):
        self._score, self._slots, self._left = score, slots, events
        self._percents = percents
        self.started, self.ended = [], {}

    def __call__(self, runs, stopped, ends=None):
        runs, under_way = iter(runs), []
        while True:
            while len(under_way) < self._slots and not stopped:
                if (run := next(runs, None)) is None:
                    break
                run.workdir.mkdir(parents=True, exist_ok=True)
                self.started.append(run)
                under_way.append(run)
                yield self._event(run, None)
            if not under_way:
                return
            run = under_way.pop(0)
            self.ended[run.name] = self._outcome(run, stopped, ends)
            yield self._event(run, self.ended[run.name])

    def _event(self, run, outcome):
        if self._left is not None:
            if not self._left:
                raise Killed
            self._left -= 1
        return run, outcome

    def _outcome(self, run, stopped, ends):
        score = self._score(run)
        if stopped:
            return Outcome("stopped")
        if score is None:
            return Outcome("failed", "the loss is nan.")
        with (run.workdir / "metrics.jsonl").open("a") as log:
            for percent in self._percents:
                log.write(json.dumps({"step": percent, "val/accuracy": score}) + "\n")
                log.flush()
                if ends(run):  # it may be evaluated once more before it stops
                    row = {"step": percent + 1, "val/accuracy": score}
                    log.write(json.dumps(row) + "\n")
                    log.flush()
                    assert ends(run)
                    return Outcome("stopped")
        results = {"val/accuracy": score}
        (run.workdir / "results.json").write_text(json.dumps(results))
        return Outcome("done", results=results)


@pytest.fixture(autouse=True)
def fake_runs(monkeypatch):
    """Runs have 100 steps, and are complete if they have results."""

    def incomplete(runs):
        return [r for r in runs if not (r.workdir / "results.json").exists()]

    monkeypatch.setattr(search, "incomplete", incomplete)
    monkeypatch.setattr(search, "_steps", lambda run: 100)


@pytest.fixture
def load(tmp_path):
    """`load(body, **options)`: an experiment in a folder of its own."""

    def read(body=SEARCH, place="sweep", **options):
        path = tmp_path / "rates.py"
        path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(body))
        options = {"overrides": {}, "trials": 6, "seeds": (0,)} | options
        return experiment.load(str(path), tmp_path / place, **options)

    return read


@pytest.fixture
def go(load, tmp_path):
    """`go(launcher, ...)`: the experiment after its searches."""

    def complete(launcher, body=SEARCH, place="sweep", **options):
        found = load(body, place, **options)
        search.complete(found, (launcher, 1), tmp_path / place)
        return load(body, place, **options)

    return complete


def test_the_best_trial_becomes_an_arm(go, load, capsys):
    launcher = Launcher()
    assert load().searching
    found = go(launcher)
    (done,) = found.searches
    assert not found.searching and done.count("complete") == 6
    assert [run.name for run in launcher.started] == [f"trial {i}" for i in range(6)]
    best = max(launcher.started, key=score_of)
    assert done.best.score == pytest.approx(score_of(best))
    rate = best.config.optimizer.learning_rate
    baseline, winner = found.arms
    assert (baseline.name, baseline.values, baseline.against) == ("baseline", {}, None)
    assert (winner.name, winner.against) == ("best of 6 trials", "baseline")
    assert winner.values == {"optimizer.learning_rate": rate}
    assert capsys.readouterr().out == (
        f"best of 6 trials: 6 trials, 0 pruned, 0 failed; the best is trial "
        f"{done.best.number}: optimizer.learning_rate={rate:.4g}\n"
    )
    # Another time there is nothing to do; fewer trials are the first of these.
    again = Launcher()
    assert go(again).arms[1].values == winner.values and not again.started
    assert go(again, trials=2).arms[1].name == "best of 2 trials" and not again.started
    assert len(go(again, trials=7).searches[0].trials) == 7
    assert [run.name for run in again.started] == ["trial 6"]


def test_only_the_runs_of_the_arms_read_test(go):
    launcher = Launcher()
    found = go(launcher, seeds=(0, 1), overrides={"eval.test_curve": "true"})
    for run in launcher.started:
        evaluation = run.config.eval
        assert not evaluation.test and not evaluation.test_curve
        assert run.seed == TRIAL_SEED
    assert {run.seed for run in found.runs} == {0, 1}
    assert all(
        run.config.eval.test and run.config.eval.test_curve for run in found.runs
    )


def test_a_trial_is_proposed_when_a_slot_is_free(go, monkeypatch):
    known = []

    def ask(self, original=study.Study.ask):
        known.append([trial.state for trial in self.trials()])
        return original(self)

    monkeypatch.setattr(study.Study, "ask", ask)
    launcher = Launcher(slots=3)
    go(launcher)
    assert [states.count("running") for states in known] == [0, 1, 2, 2, 2, 2]
    assert [states.count("complete") for states in known] == [0, 0, 0, 1, 2, 3]
    rates = {run.config.optimizer.learning_rate for run in launcher.started}
    assert len(rates) == 6


def test_trials_that_fall_behind_end(go):
    scores = iter([0.5, 0.4, 0.9, 0.8, 0.3, 0.6])
    percents = (10, 30, 80, 100)
    launcher = Launcher(lambda run: next(scores), percents=percents)
    (done,) = go(launcher).searches
    states = [trial.state for trial in done.trials]
    assert states == ["complete", "pruned", "complete", "pruned", "pruned", "pruned"]
    assert [o.status for o in launcher.ended.values()].count("stopped") == 4
    assert done.best.number == 2 and done.trials[1].score == 0.4
    for run in launcher.started:
        rows = (run.workdir / "metrics.jsonl").read_text().splitlines()
        # An evaluation before 25% of the steps prunes nothing.
        assert len(rows) == (4 if states[int(run.name[-1])] == "complete" else 3)


def test_a_failed_trial_does_not_stop_the_search(go, capsys):
    scores = iter([0.5, None, 0.9, math.nan, 0.8, 0.7])
    (done,) = go(Launcher(lambda run: next(scores))).searches
    assert [trial.number for trial in done.trials if trial.state == "failed"] == [1, 3]
    assert done.trials[1].reason == "the loss is nan."
    assert done.trials[3].reason == "val/accuracy is nan."
    assert done.best.number == 2
    assert "4/6 done, 0 running, 1 failed" in capsys.readouterr().err


def test_a_search_whose_trials_all_fail(go, load):
    with pytest.raises(
        UserError,
        match=r"6 failed and 0 were pruned. The last failure: the loss is nan",
    ):
        go(Launcher(lambda run: None))
    assert load().arms[1].values == {}
    with pytest.raises(UserError, match="6 failed"):
        go(Launcher())


# -------------------------------------------------------------------- ends and resumes


@pytest.mark.parametrize("slots", [1, 3])
def test_a_killed_search_goes_on(slots, go):
    """Killed at each event: a trial keeps its number and its values."""
    for events in (1, 2, 5):
        place, rates, lives = f"sweep{events}", {}, 0
        while True:
            launcher = Launcher(slots=slots, events=events + lives, percents=(30, 100))
            try:
                (done,) = go(launcher, place=place, trials=4).searches
                break
            except Killed:
                lives += 1
            finally:
                for run in launcher.started:
                    rate = run.config.optimizer.learning_rate
                    assert rates.setdefault(run.name, rate) == rate
        assert lives and len(done.trials) == 4 and len(rates) == 4
        assert {trial.state for trial in done.trials} <= {"complete", "pruned"}
        assert len({trial.suggested["rate"] for trial in done.trials}) == 4


@pytest.mark.parametrize("half", [False, True])
def test_a_search_that_is_killed_while_it_writes(half, go, monkeypatch):
    """Before each line of the study, or in the middle of the line."""
    from optuna.storages.journal import JournalFileBackend

    original, left = JournalFileBackend.append_logs, [0]

    def append(self, logs):
        left[0] -= 1
        if left[0] < 0:
            if half:
                with open(self._file_path, "ab") as file:
                    file.write(json.dumps(logs[0]).encode()[:20])
                os.symlink(self._file_path, f"{self._file_path}.lock")
            raise Killed
        original(self, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", append)
    for writes in (2, 3):
        while True:
            left[0] = writes
            try:
                launcher = Launcher(percents=(30, 100))
                (done,) = go(launcher, place=f"sweep{writes}", trials=2).searches
                break
            except Killed:
                # Each start writes two lines before it goes on.
                writes += 2
        assert [trial.number for trial in done.trials] == [0, 1]
        assert {trial.state for trial in done.trials} <= {"complete", "pruned"}


def test_a_run_that_ended_with_the_process_is_not_trained_again(go):
    first = Launcher(events=1)
    with pytest.raises(Killed):  # after the run has written its results
        go(first, trials=2)
    assert (first.started[0].workdir / "results.json").exists()
    again = Launcher()
    (done,) = go(again, trials=2).searches
    assert [run.name for run in again.started] == ["trial 1"]
    assert done.trials[0].score == pytest.approx(score_of(first.started[0]))


def test_a_signal_ends_a_search_that_goes_on_later(go, capsys):
    def stop(run):
        if run.name == "trial 2":
            os.kill(os.getpid(), signal.SIGTERM)
        return score_of(run)

    first = Launcher(stop, slots=2)
    with pytest.raises(Stopped):
        go(first)
    assert capsys.readouterr().err.endswith("run the same command again to continue.\n")
    again = Launcher()
    (done,) = go(again).searches
    assert [run.name for run in again.started] == [f"trial {i}" for i in (2, 3, 4, 5)]
    assert done.count("complete") == 6


def test_a_run_that_another_program_stopped(go):
    """The trial of a stopped run is continued by the next sweep."""
    launcher = Launcher()
    launcher._outcome = lambda *_: Outcome("stopped")
    with pytest.raises(UserError, match=r"0 of 6 trials in .* start the sweep again"):
        go(launcher)
    (done,) = go(Launcher()).searches
    assert done.count("complete") == 6


# ---------------------------------------------------------------------- tuned arms


def test_each_arm_is_tuned_for_itself(go, tmp_path):
    launcher = Launcher(slots=2)
    found = go(launcher, TUNED, trials=3)
    names = [f"{arm}, trial {i}" for arm in ("narrow", "wide") for i in range(3)]
    assert [run.name for run in launcher.started] == names
    places = {run.workdir for run in launcher.started[:3]}
    assert places == {tmp_path / "sweep/search/narrow" / f"trial{i}" for i in range(3)}
    # The first trial has the arm's own values, where they are in their ranges.
    first = [launcher.started[i].config.optimizer for i in (0, 3)]
    assert first[0].learning_rate == first[1].learning_rate == 0.1
    assert first[1].momentum <= 0.5
    for arm, runs in zip(found.arms, (found.runs[:1], found.runs[1:]), strict=True):
        mine = [r for r in launcher.started if r.workdir.parent.name == arm.name]
        best = max(mine, key=score_of).config.optimizer.learning_rate
        assert {run.config.optimizer.learning_rate for run in runs} == {best}
        hidden = {"narrow": (8,), "wide": (16,)}[arm.name]
        assert {r.config.model.hidden for r in [*mine, *runs]} == {hidden}


def test_only_the_chosen_arms_are_tuned(go):
    launcher = Launcher()
    go(launcher, TUNED, trials=2, only="narrow")
    assert [run.name for run in launcher.started] == [
        f"narrow, trial {i}" for i in "01"
    ]


SOURCE = (
    SEARCH
    + """

    def source(arg=None):
        return "source"
"""
)


def test_the_run_that_all_start_from_is_trained_first(go):
    launcher = Launcher()
    go(launcher, SOURCE, trials=1)
    assert [run.name for run in launcher.started] == ["source", "trial 0"]
    assert launcher.started[1].config.model.init_from == str(
        launcher.started[0].workdir
    )


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (SEARCH, {"overrides": {"data.val": "0"}}, "set config.data.val, for example"),
        (
            SEARCH,
            {"overrides": {"data.val": "none"}},
            "chooses on the validation split",
        ),
        (
            SEARCH,
            {"overrides": {"optimizer.learning_rate": "0.1"}},
            "arm 'best of 6 trials' already sets config.optimizer.learning_rate",
        ),
        (SEARCH.replace("learning_rate", "learning_rat"), {}, "Did you mean"),
        (SEARCH.replace("learning_rate", "momentum"), {}, None),
        (SEARCH.replace("1e-3, 1.0", "1.0, 1e-3"), {}, "line 15, failed: ValueError"),
        (TUNED.replace("(0, 0.5)", "None"), {}, "arm 'wide' tunes optimizer.momentum"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    body, options, message, go, tmp_path
):
    if message is None:
        go(Launcher(), body, **options)
        return
    with pytest.raises(UserError, match=message):
        go(Launcher(), body, **options)
    assert not (tmp_path / "sweep").exists()


def test_trials_of_another_config_are_not_mixed(go):
    go(Launcher(), trials=1)
    with pytest.raises(
        UserError, match=r"another config: train.epochs: 2.0 \(now 3.0\)"
    ):
        go(Launcher(), trials=2, overrides={"train.epochs": "3"})


def test_an_unfinished_search_has_no_best_trial(load):
    (unfinished,) = load().searches
    with pytest.raises(UserError, match=r"0 of 6 trials in .*/sweep/search have ended"):
        search.said(unfinished)


def test_the_steps_of_a_run_come_from_its_folder(load, monkeypatch):
    monkeypatch.undo()
    run = load().runs[0]
    run.workdir.mkdir(parents=True)
    facts = {"dataset": {"examples": {"train": 1280}}}
    (run.workdir / "config.json").write_text(json.dumps(facts))
    assert search._steps(run) == 2 * 1280 / 64
