"""Metrics of a run's checkpoint."""

import json

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve


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
    assert found == {
        "step": step,
        "examples": len(examples),
        f"{split}/loss": pytest.approx(losses.mean(), rel=1e-4),
        f"{split}/accuracy": pytest.approx(right.mean()),
    }


def test_what_cannot_be_evaluated(made, values):
    with pytest.raises(UserError, match=r"unknown split 'vla'.*test, train, val"):
        runs.evaluate(made.workdir, split="vla")
    with pytest.raises(UserError, match="unknown checkpoint '3'"):
        runs.evaluate(made.workdir, checkpoint="3")
    other = resolve(values(data={"batch_size": 4}))
    with pytest.raises(UserError, match="holds a run of another config"):
        runs.evaluate(made.workdir, expected=other)
