"""Studies in a file: what is read, and what a killed process has left."""

import json
import math
from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps.searches import study
from cnn_jax.sweeps.searches.study import Search, Study, Trial

optuna = pytest.importorskip("optuna")


@pytest.fixture
def opened(tmp_path):
    """`opened(**options)`: the study in a folder, opened once more."""

    def make(folder=tmp_path / "search", wanted=8, first=()):
        return Study(folder, seed=0, wanted=wanted, first=dict(first))

    return make


def ask(opened_study, name="rate"):
    trial = opened_study.ask()
    trial.suggest_float(name, 1e-3, 1.0, log=True)
    return trial


def test_a_search_as_it_is_read(opened, tmp_path):
    made = opened()
    for score in (0.25, 0.75, 0.75):
        trial = ask(made)
        made.begin(trial.number, {"model.hidden": (8, 4), "eval.test_curve": True})
        made.end(trial.number, "complete", score)
    made.fail(ask(made).number, "the loss is nan.")
    ask(made)
    made.check({"train.epochs": 2.0})
    content = (tmp_path / "search" / study.FILE).read_bytes()
    found = study.read(tmp_path / "search", "arm", 5)
    assert (tmp_path / "search" / study.FILE).read_bytes() == content
    assert [t.state for t in found.trials] == ["complete"] * 3 + ["failed", "running"]
    assert found.best is found.trials[1]  # the first of the best
    assert found.best.values == {"model.hidden": (8, 4), "eval.test_curve": True}
    assert found.best.logarithmic == {"rate"} and found.best.suggested["rate"] > 0
    assert found.trials[3].reason == "the loss is nan."
    assert found.config == {"train.epochs": 2.0} and not found.finished
    fewer = study.read(tmp_path / "search", "arm", 1)
    assert fewer.finished and fewer.best.score == 0.25


def test_negative_scores_have_a_best():
    trials = [Trial(i, "complete", score=s) for i, s in enumerate((-3.0, -1.0, -2.0))]
    assert Search("arm", Path(), 3, tuple(trials)).best.number == 1
    assert Search("arm", Path(), 3).best is None


def test_nothing_is_read_where_nothing_was_searched(tmp_path):
    found = study.read(tmp_path / "none", "arm", 3)
    assert found.trials == () and not found.finished
    # Killed after the file was made, and before the study.
    (tmp_path / study.FILE).touch()
    assert study.read(tmp_path, "arm", 3).trials == ()


def test_half_a_line_and_a_lock_of_a_killed_process(opened, tmp_path):
    made = opened()
    made.end(ask(made).number, "complete", 0.5)
    path = tmp_path / "search" / study.FILE
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    path.with_name(f"{study.FILE}.lock").symlink_to(path)
    again = opened()
    assert [trial.score for trial in again.trials()] == [0.5]
    assert path.read_bytes().startswith(whole + b'{"op_code":0')
    again.end(ask(again).number, "complete", 0.75)
    assert [trial.score for trial in opened().trials()] == [0.5, 0.75]


def test_a_damaged_study(opened, tmp_path):
    made = opened()
    ask(made)
    path = tmp_path / "search" / study.FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{nonsense}\n", *lines[1:]]))
    for action in (opened, lambda: study.read(path.parent, "arm", 3)):
        with pytest.raises(UserError, match=r"study.log is damaged .* move the folder"):
            action()


def test_a_resumed_trial_keeps_its_values(opened):
    made = opened()
    first = ask(made)
    again = opened().resumed(first.number)
    assert again.suggest_float("rate", 1e-3, 1.0, log=True) == first.params["rate"]


def test_a_study_that_goes_on_proposes_new_values(opened):
    first = [ask(opened()).params["rate"] for _ in range(4)]
    assert len(set(first)) == 4


def test_the_first_trial_may_be_given(opened):
    made = opened(first={"rate": 0.125})
    assert made.trials() == []
    assert ask(opened(first={"rate": 0.125})).params["rate"] == 0.125
    assert ask(opened(first={"rate": 0.125})).params["rate"] != 0.125


def test_trials_that_fall_behind(opened):
    """At 25% and at 75% of the steps, only the best third of the trials continues."""
    made = opened()
    numbers = [ask(made).number for _ in range(4)]
    told = {
        number: [made.falls_behind(number, p, score) for p in (24, 25, 50, 75, 100)]
        for number, score in zip(numbers, (0.5, 0.4, 0.6, math.nan), strict=True)
    }
    assert told[0] == told[2] == [False] * 5
    assert told[1][:2] == told[3][:2] == [False, True]
    assert not made.falls_behind(0, 100, 0.1)  # known already


def test_a_study_has_one_config(opened):
    opened().check({"train.epochs": 2.0, "data.val": 0.1})
    opened().check({"train.epochs": 2.0, "data.val": 0.1})
    with pytest.raises(UserError, match=r"another config: train.epochs: 2.0 \(now 3.0"):
        opened().check({"train.epochs": 3.0, "data.val": 0.1})


def test_choices_that_no_file_holds(opened):
    with pytest.raises(UserWarning, match="Choices"), study.strict():
        opened().ask().suggest_categorical("hidden", [(8,), (16,)])
    with study.strict():
        opened().ask().suggest_categorical("name", ["sgd", "adamw"])


def test_a_preview_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def suggest(trial):
        trial.suggest_float("rate", 0.1, 1.0)
        trial.suggest_categorical("name", ["sgd", "adamw"])
        trial.suggest_float("momentum", 0.5, 0.9)
        trial.suggest_float("clip", 0.5, 0.9)
        return {"a": trial.suggest_int("a", 3, 3)}

    # The momentum is out of its range, and there is no clip yet.
    present = {"rate": 0.5, "name": "sgd", "momentum": 0.0, "clip": None, "b": 1}
    found = study.preview(suggest, present)
    assert found == ({"a": 3}, {"rate": 0.5, "name": "sgd"})
    assert not list(tmp_path.iterdir())


def test_studies_are_removed(opened, tmp_path):
    for folder in ("search", "search/arm"):
        opened(tmp_path / folder)
    kept = tmp_path / "search" / "trial0" / "metrics.jsonl"
    kept.parent.mkdir()
    kept.touch()
    study.remove(tmp_path)
    assert [p for p in (tmp_path / "search").rglob("*") if p.is_file()] == [kept]


def test_every_line_of_the_file_is_json(opened, tmp_path):
    made = opened()
    made.end(ask(made).number, "complete", 0.5)
    text = (tmp_path / "search" / study.FILE).read_text()
    assert all(json.loads(line)["worker_id"] for line in text.splitlines())
