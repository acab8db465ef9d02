"""Metrics of a run's checkpoint."""

import json

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs import run_evaluation
from cnn_jax.runs.resolve import resolve
from cnn_jax.tasks import Classification


@pytest.mark.parametrize(
    ("split", "checkpoint", "step"),
    [("test", "best", 2), ("train", "last", 4)],
)
def test_the_metrics_of_a_checkpoint(split, checkpoint, step, made, capsys):
    runs.evaluate(made.workdir, split=split, checkpoint=checkpoint, output="json")
    found = json.loads(capsys.readouterr().out)
    examples = made.dataset.splits[split]
    images = made.network.normalize(jax.numpy.asarray(examples.images))
    logits = made.network.model.apply(made.states[step].ema, images, train=False)
    rows = np.arange(len(examples))
    losses = -log_softmax(np.asarray(logits, np.float64), -1)[rows, examples.labels]
    right = np.argmax(logits, -1) == examples.labels
    detailed = {f"{split}/{name}" for name in made.network.task.detailed}
    table = found.pop(f"{split}/classes")
    assert [row["class"] for row in table] == list(made.dataset.classes)
    assert {key: found[key] for key in found.keys() - detailed} == {
        "step": step,
        "examples": len(examples),
        f"{split}/loss": pytest.approx(losses.mean(), rel=1e-4),
        f"{split}/accuracy": pytest.approx(right.mean()),
    }


def test_the_predictions_on_a_split(made, tmp_path, capsys):
    path = tmp_path / "found.jsonl"
    runs.evaluate(made.workdir, split="val", output="json", predicted=path)
    scores = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["identity"] for line in lines] == [f"val/{i}" for i in range(16)]
    labels = made.dataset.splits["val"].labels
    assert [line["label"] for line in lines] == [str(label) for label in labels]
    right = np.mean([line["label"] == line["prediction"] for line in lines])
    assert right == pytest.approx(scores["val/accuracy"])
    losses = [line["loss"] for line in lines]
    assert np.mean(losses) == pytest.approx(scores["val/loss"], rel=1e-5)


def test_what_cannot_be_written_is_found_before_the_evaluation(
    made, tmp_path, monkeypatch
):
    monkeypatch.setattr(run_evaluation.setup, "dataset", None)  # nothing is read
    with pytest.raises(UserError, match=r"suffix \.jsonl"):
        runs.evaluate(made.workdir, predicted=tmp_path / "found.npz")
    monkeypatch.setattr(Classification, "kept", ())
    with pytest.raises(UserError, match="the task classification does not give"):
        runs.evaluate(made.workdir, predicted=tmp_path / "found.csv")


def test_what_cannot_be_evaluated(made, values):
    with pytest.raises(UserError, match=r"unknown split 'vla'.*test, train, val"):
        runs.evaluate(made.workdir, split="vla")
    with pytest.raises(UserError, match="unknown checkpoint '3'"):
        runs.evaluate(made.workdir, checkpoint="3")
    other = resolve(values(data={"batch_size": 4}))
    with pytest.raises(UserError, match="holds a run of another config"):
        runs.evaluate(made.workdir, expected=other)
