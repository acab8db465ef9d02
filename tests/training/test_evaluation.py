"""Evaluation: every example once, the worst of all batches, and what is collected."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.data.augment import normalize
from cnn_jax.tasks import Classification
from cnn_jax.training import parallel
from cnn_jax.training.evaluation import WORST, evaluate
from cnn_jax.training.step import make_eval_step

CLASSES, SHAPE, SIZE = 3, (2, 2, 1), 8


def examples_of(count):
    rng = np.random.default_rng(7)
    return {
        "image": rng.integers(0, 256, (count, *SHAPE), np.uint8),
        "label": rng.integers(0, CLASSES, count).astype(np.int32),
        "index": np.arange(count, dtype=np.int32),
    }


def batches_of(examples):
    """Batches of one size, the last one padded with zeros and masked."""
    count = len(examples["index"])
    for start in range(0, count, SIZE):
        rows = {k: v[start : start + SIZE] for k, v in examples.items()}
        missing = SIZE - len(rows["index"])
        rows = {
            k: np.concatenate([v, np.zeros((missing, *v.shape[1:]), v.dtype)])
            for k, v in rows.items()
        }
        yield rows | {"mask": (np.arange(SIZE) < SIZE - missing).astype(np.float32)}


def test_evaluation_shows_the_worst_of_all_batches():
    """Each example counts once; padding, though its label is wrong, never shows."""
    model = models.create("mlp", num_classes=CLASSES, hidden=())
    kernel = np.random.default_rng(3).standard_normal((4, CLASSES)).astype(np.float32)
    bias = np.array([-4, 0, 0], np.float32)  # padding is wrong
    params = {"head": {"kernel": kernel, "bias": bias}}
    count = 45
    examples = examples_of(count)
    step = parallel.eval_step(
        make_eval_step(
            model,
            Classification(tuple("abc")),
            normalize=partial(normalize, mean=(0.4,), std=(0.3,)),
        )
    )
    totals, worst, rows = evaluate(
        step,
        parallel.replicate({"params": params}),
        batches_of(examples),
        ["label", "class"],
    )

    x = (examples["image"].astype(np.float64) / 255 - 0.4) / 0.3
    powers = np.exp(x.reshape(count, -1) @ kernel.astype(np.float64) + bias)
    p = powers / powers.sum(-1, keepdims=True)
    losses = -np.log(p[np.arange(count), examples["label"]])
    wrong = p.argmax(-1) != examples["label"]
    assert WORST < wrong.sum() < count
    assert totals["loss"] == (pytest.approx(losses.sum(), rel=1e-5), count)
    assert totals["accuracy"] == (count - wrong.sum(), count)
    assert totals["confusion"][0].sum() == count
    # What is collected is there for every example, in order, and nothing of padding.
    assert [int(row["label"]) for row in rows] == examples["label"].tolist()
    assert [int(row["class"]) for row in rows] == p.argmax(-1).tolist()
    assert all(row.keys() == {"label", "class"} for row in rows)
    order = np.argsort(-losses * wrong, kind="stable")[:WORST]
    assert [int(row["index"]) for row in worst] == order.tolist()
    for row, index in zip(worst, order, strict=True):
        assert row["error"] == pytest.approx(losses[index], rel=1e-4)
        np.testing.assert_array_equal(row["image"], examples["image"][index])


def step_of(errors):
    """A step that takes each example's error from a table; padding has a large one."""

    def step(variables, batch):
        error = jnp.where(batch["mask"] > 0, jnp.asarray(errors)[batch["index"]], 1e3)
        sums = {"error": ((error * batch["mask"]).sum(), batch["mask"].sum())}
        return sums, {"error": error}

    return step


def test_of_equal_errors_the_earlier_example_is_the_worse_one():
    errors = np.zeros(40, np.float32)
    errors[3:33] = 1
    errors[39] = 2
    totals, worst, rows = evaluate(step_of(errors), {}, batches_of(examples_of(40)))
    assert [int(row["index"]) for row in worst] == [39, *range(3, 3 + WORST - 1)]
    assert totals["error"] == (32, 40) and rows == []


def test_an_example_without_an_error_is_not_shown():
    errors = np.zeros(5, np.float32)
    errors[2] = 0.5
    found = evaluate(step_of(errors), {}, batches_of(examples_of(5)))
    assert [int(row["index"]) for row in found.worst] == [2]


def test_collected_rows_are_in_the_order_of_the_split():
    """Workers and hosts deliver batches in an order of their own."""
    batches = list(batches_of(examples_of(20)))
    step = step_of(np.arange(20, dtype=np.float32))
    found = evaluate(step, {}, reversed(batches), ["error"])
    assert [float(row["error"]) for row in found.rows] == list(range(20))


def test_names_without_an_entry_are_not_collected():
    batches = batches_of(examples_of(9))
    found = evaluate(step_of([1.0] * 9), {}, batches, ["label", "unknown"])
    assert all(row.keys() == {"label"} for row in found.rows)


def test_nothing_to_evaluate():
    assert evaluate(step_of([0.0]), {}, []) == ({}, [], [])
