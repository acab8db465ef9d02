"""Videos, by the mean of the probabilities of their clips."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.tasks.action_recognition import ActionRecognition
from cnn_jax.training import parallel
from cnn_jax.training.evaluation import evaluate

CLASSES = 4
task = ActionRecognition(tuple("abcd"), top_k=(2,))


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True).astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


@parallel.eval_step
def step(logits, batch):
    """The step of `make_eval_step`, for a network with the given outputs."""
    chosen = logits[batch["index"]]
    pairs = jax.lax.psum(dict(task.metrics(chosen, batch)), parallel.AXIS)
    return pairs, task.predictions(chosen, batch)


def measured(logits, labels, each, batch_size=5):
    """The scores of an evaluation in padded batches."""

    def batches():
        for start in range(0, len(labels), batch_size):
            index = np.arange(start, start + batch_size)
            real = index < len(labels)
            index = np.where(real, index, 0).astype(np.int32)
            yield {
                "index": index,
                "label": labels[index],
                "mask": real.astype(np.float32),
                **({"video": index // each} if each else {}),
            }

    found = evaluate(step, logits, batches(), task.collected)
    return task.scores(found.totals, found.rows)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([1, 2, 3, 4, 6]))
def test_videos_are_the_means_of_their_clips(seed, each):
    rng = np.random.default_rng(seed)
    own = rng.integers(0, CLASSES, 12 // each).astype(np.int32)
    labels = own.repeat(each)
    logits = rng.normal(0, 2, (len(labels), CLASSES)).astype(np.float32)
    found = measured(logits, labels, each)
    chances = softmax(logits).reshape(len(own), each, CLASSES).mean(1)
    order = np.argsort(-chances, axis=1)
    assert found["video_accuracy"] == pytest.approx((order[:, 0] == own).mean())
    within = (order[:, :2] == own[:, None]).any(1)
    assert found["video_top_2_accuracy"] == pytest.approx(within.mean())
    assert found["accuracy"] == pytest.approx((logits.argmax(-1) == labels).mean())
    if each == 1:
        assert found["video_accuracy"] == pytest.approx(found["accuracy"])


def test_one_sure_clip_outweighs_two_that_are_not():
    logits = np.array([[9, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], np.float32)
    labels = np.zeros(3, np.int32)
    found = measured(logits, labels, 3)
    assert found["accuracy"] == pytest.approx(1 / 3) and found["video_accuracy"] == 1


def test_examples_without_videos_are_one_each():
    logits = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 0]]
    found = measured(logits, np.arange(4, dtype=np.int32), None)
    assert found["video_accuracy"] == found["accuracy"] == 0.75


def test_ties_and_nan_are_not_called_right():
    labels = np.zeros(2, np.int32)
    for logits in (np.zeros((2, CLASSES)), np.full((2, CLASSES), np.nan)):
        found = measured(logits.astype(np.float32), labels, 1)
        assert found["video_accuracy"] == 0
    assert "video_accuracy" not in task.scores({})
