"""Differences over seeds and test examples, from kept predictions."""

import numpy as np
import pytest

from cnn_jax.sweeps import results
from cnn_jax.sweeps.reports import crossed
from cnn_jax.sweeps.statistics import bootstrap
from tests.sweeps.conftest import keep

METRIC = "test/accuracy"
DRAWN = np.random.default_rng(0).random((2, 3, 20))
LEVELS = np.array([0.6, 0.8])[:, None, None]
BASE, ARM = DRAWN < LEVELS


@pytest.fixture
def kept(make_kept):
    return make_kept({"base": list(BASE), "diverges": list(ARM)})[1]


def difference(rows, metric=METRIC):
    return crossed.difference(rows, "diverges", "base", metric)


def of(rows, arm, seed):
    (row,) = [row for row in rows if (row.run.arm, row.run.seed) == (arm, seed)]
    return row


def test_the_scores_are_right_or_wrong(kept):
    found, why = difference(kept)
    expected = bootstrap.crossed_difference(*(dict(enumerate(a)) for a in (ARM, BASE)))
    assert (found, why) == (expected, "")
    assert (found.seeds, found.examples) == (3, 20)
    assert found.mean == pytest.approx(ARM.mean() - BASE.mean())


def test_examples_are_paired_by_identity(kept):
    expected = difference(kept)
    order = np.random.default_rng(1).permutation(20)
    keep(
        of(kept, "base", 1).run.workdir,
        BASE[1][order],
        identity=np.array([f"test/{i}" for i in order]),
    )
    assert difference(kept) == expected


def test_runs_with_other_examples(kept):
    names = np.array([f"fold2/{i}" for i in range(20)])
    keep(of(kept, "base", 1).run.workdir, BASE[1], identity=names)
    assert difference(kept) == (None, crossed.OTHER_EXAMPLES)


def test_a_run_without_predictions(kept):
    """A run that was not complete does not matter; see base/seed3."""
    (of(kept, "base", 1).run.workdir / "predictions" / "test.npz").unlink()
    assert difference(kept) == (None, crossed.NOT_KEPT)
    assert results.complaints(kept)[-1].endswith("no | reason")


@pytest.mark.parametrize("spoiled", ["damaged", "accuracy"])
def test_a_run_with_a_damaged_file(kept, spoiled):
    row = of(kept, "base", 1)
    path = keep(row.run.workdir, BASE[0] if spoiled == "accuracy" else BASE[1])
    if spoiled == "damaged":
        path.write_bytes(path.read_bytes()[:-40])
    assert difference(kept) == (None, crossed.NOT_KEPT)
    (said,) = [line for line in results.complaints(kept) if "base/seed1" in line]
    assert said.startswith("base/seed1: no interval over test examples:")
    assert str(path) in said and spoiled in said


def test_a_file_is_read_once(kept, monkeypatch):
    expected = difference(kept)
    monkeypatch.setattr("cnn_jax.sweeps.predictions.read", None)
    assert difference(kept) == expected


def test_only_an_accuracy_has_scores(kept):
    for row in kept:
        row.results["test/loss"] = 1.0
    assert difference(kept, "test/loss") == (None, crossed.NOT_ACCURACY)


def test_one_seed_has_no_interval(make_kept):
    _, rows = make_kept({"base": [BASE[0]], "diverges": list(ARM)})
    assert difference(rows) == (None, "")
