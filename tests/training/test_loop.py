"""The training loop, with steps of plain Python in place of compiled ones."""

import dataclasses
import functools
import os
import signal
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.splits import Arrays, Varied
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import freezing, loop, parallel, predictions, setup
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.config import hash_of
from cnn_jax.training.evaluation import Evaluation
from cnn_jax.training.record import Report
from cnn_jax.training.signals import Stopped


@pytest.fixture
def told(monkeypatch):
    """Returns the calls of a report in order: (method, its first argument)."""
    found = []

    class Told(Report):
        def __init__(self, workdir, training, step, mark):
            found.append(("start", step))

        def mark(self):
            return None

        def __enter__(self):
            return self

        def __exit__(self, *_):
            found.append(("end", None))

        def evaluation(self, step, role, result, scores, *, pictures):
            found.append((role, step))
            found.append(("drawn", pictures))

        def parameters(self, step, params):
            found.append(("evaluation", step))

        def begin(self, table, tags, inputs, scores):
            found.append(("begin", table))

        def say(self, text):
            found.append(("say", text))

        def step(self, step):
            found.append(("step", step))

        def training(self, step, row, factor):
            found.append(("training", step))

    monkeypatch.setattr(loop, "Report", Told)
    return found


@pytest.fixture
def seen():
    """Returns the record of the steps: the `batches` (indices), evaluated `splits`,
    `saved` steps, and after how many steps a step was `made`."""
    return SimpleNamespace(batches=[], splits=[], saved=[], made=[])


@pytest.fixture
def train(told, seen, values, monkeypatch, tmp_path, few_digits):
    """`train(at, **groups)`: the results of a run of six steps.

    Its parameters count the steps; `at(step)` may return the loss of a step.
    """

    def fake_step(at):
        def step(state, batch, key):
            number = int(state.step) + 1
            seen.batches.append(np.asarray(batch["index"]).ravel().tolist())
            loss = np.float32(1.0 if (given := at(number)) is None else given)
            state = dataclasses.replace(
                state,
                step=state.step + 1,
                params=jax.tree.map(lambda leaf: leaf * 0 + number, state.params),
            )
            pair = (loss, np.float32(1))
            return state, {"objective": pair, "loss": pair}

        def make(training, start=0):
            seen.made.append(start)
            return step

        return make

    def evaluate(step, variables, batches, collected):
        read = [index for batch in batches for index in batch["index"]]
        seen.splits.append(sorted(index for index in read if index >= 0))
        (value,) = {float(leaf.max()) for leaf in jax.tree.leaves(variables["params"])}
        rows = [dict.fromkeys(collected, value)] * len(seen.splits[-1])
        return Evaluation({"accuracy": (value, 10.0)}, [], rows)

    original = Checkpoints.save

    def save(self, step, *arguments):
        seen.saved.append(step)
        original(self, step, *arguments)

    monkeypatch.setattr(loop, "evaluate", evaluate)
    monkeypatch.setattr(Checkpoints, "save", save)
    monkeypatch.setattr(setup.Network, "eval_step", lambda _: None)

    def start(at=lambda _: None, dataset=few_digits, plan=None, **groups):
        own = {"train": {"steps": 6}, "model": {"widths": (1,)}}
        config = resolve(values(**own | groups))
        network = setup.network(config, dataset)
        training = setup.training(network, len(dataset.splits["train"]))
        if plan:
            training = dataclasses.replace(training, plan=plan(network))
        monkeypatch.setattr(setup.Training, "step", fake_step(at))
        options = {"table": "", "tags": {}}
        return loop.train(training, dataset, tmp_path, **options)

    return start


def steps_of(told, what):
    return [step for kind, step in told if kind == what]


EVERY = {
    "train": {"steps": 6, "log_every_steps": 2},
    "eval": {"every_steps": 3},
    "checkpoint": {"every_steps": 4, "keep": 9},
}


def test_what_is_due_at_which_step(train, told, seen, values):
    results = train(**EVERY)
    assert steps_of(told, "start") == [0] and seen.made == [0]
    assert len(steps_of(told, "begin")) == 1
    assert steps_of(told, "step") == [1, 2, 3, 4, 5, 6]
    assert steps_of(told, "training") == [2, 4, 6]
    assert steps_of(told, "evaluation") == [3, 6]
    assert seen.saved == [3, 4, 6]  # what was evaluated may be the best
    assert told[-1] == ("end", None)
    # `val` at each evaluation, and `test` once, after the last step.
    assert steps_of(told, "val") == [3, 6] and steps_of(told, "test") == [6]
    assert [len(split) for split in seen.splits] == [16, 16, 20]
    config = resolve(values(**EVERY | {"model": {"widths": (1,)}}))
    assert results["step"] == results["best/step"] == 6
    for name in ("val", "best/val", "test", "best/test"):
        assert results[f"{name}/accuracy"] == 0.6
    assert results["config_hash"] == hash_of(config)
    assert results["train_seconds"] > 0
    assert {"parameters", "peak_memory_bytes", "examples_per_second"} <= results.keys()


def test_the_last_step_is_always_shown_evaluated_and_saved(train, told, seen):
    never = {"train": {"steps": 6, "log_every_steps": 100}}
    train(**never, eval={"every_steps": 100})
    assert steps_of(told, "training") == steps_of(told, "evaluation") == [6]
    assert seen.saved == [6]


def test_a_complete_run_makes_no_step(train, told, seen):
    results = train(**EVERY)
    before = list(seen.batches)
    assert len({tuple(batch) for batch in before}) == 6
    again = train(**EVERY)
    assert seen.batches == before and "resuming from step 6 of 6" in steps_of(
        told, "say"
    )
    for key in ("step", "test/accuracy", "best/step", "parameters"):
        assert again[key] == results[key]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_its_step(number, train, told, seen):
    def at(step):
        if step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as stop:
        train(at, **EVERY)
    assert stop.value.code == 128 + number and seen.saved == [2]
    assert steps_of(told, "say")[-1] == (
        f"{number.name}: saved step 2 of 6; run the same command again to resume."
    )
    first, seen.batches[:], told[:] = list(seen.batches), [], []
    results = train(**EVERY)
    assert "resuming from step 2 of 6" in steps_of(told, "say")
    assert steps_of(told, "start") == [2] and steps_of(told, "begin") == []
    assert steps_of(told, "step") == [3, 4, 5, 6] and results["step"] == 6
    # Two epochs, as if nothing had been.
    rows = [index for batch in first + seen.batches for index in batch]
    assert sorted(rows[:24]) == sorted(rows[24:]) == list(range(24))


def test_a_signal_in_the_last_step_ends_a_complete_run(train):
    def at(step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(at, **EVERY)["step"] == 6


@pytest.mark.parametrize(
    ("every", "words"),
    [
        (1, "The last good checkpoint is of step 2 in"),  # 3 gives this very loss
        (3, "There is no good checkpoint"),
        (100, "There is no good checkpoint"),
    ],
)
def test_a_loss_that_is_not_finite(every, words, train, seen):
    groups = EVERY | {"checkpoint": {"every_steps": every, "keep": 9}}
    groups["train"] = {"steps": 6, "log_every_steps": 1}
    with pytest.raises(UserError, match=f"the loss is nan at step 4. {words}") as error:
        train(lambda step: np.nan if step == 4 else 1.0, **groups)
    assert "config.optimizer.learning_rate" in str(error.value)
    assert 4 not in seen.saved


def scored(values):
    """The scores of evaluations whose `val` has these accuracies, in order."""
    left, scores = iter(values), loop._Run._scores

    def changed(self, role, result):
        found = scores(self, role, result)
        return found | ({"val/accuracy": next(left)} if role == "val" else {})

    return changed


def test_the_best_checkpoint_is_chosen_on_val_and_tested(train, seen, monkeypatch):
    monkeypatch.setattr(loop._Run, "_scores", scored([0.5, 0.9, 0.1]))
    results = train(**EVERY | {"eval": {"every_steps": 2}, "checkpoint": {}})
    assert results["best/step"] == 4 and results["best/val/accuracy"] == 0.9
    assert results["val/accuracy"] == 0.1 and results["step"] == 6
    assert results["test/accuracy"] == 0.6 and results["best/test/accuracy"] == 0.4
    assert [len(split) for split in seen.splits] == [16, 16, 16, 20, 20]


class Watched(Varied):
    """A split that notes how many steps were made when it was read."""

    def examples(self, indices, rngs):
        self.read_at.append(self.steps())
        return super().examples(indices, rngs)


@pytest.fixture
def watched(seen, few_digits):
    """The digits, whose test split notes when it is read."""
    test = few_digits.splits["test"]
    watched = Watched(tuple(test.images), tuple(map(np.asarray, test.labels)))
    object.__setattr__(watched, "read_at", [])
    object.__setattr__(watched, "steps", lambda: len(seen.batches))
    return dataclasses.replace(few_digits, splits=few_digits.splits | {"test": watched})


@pytest.mark.parametrize("more", [{}, {"train": {"steps": 6, "patience": 3}}])
def test_nothing_reads_test_before_the_last_step(more, train, watched):
    train(dataset=watched, **EVERY | more)
    assert {*watched.splits["test"].read_at} == {6}


def test_a_run_without_test_never_reads_it(train, watched, seen, monkeypatch):
    """The test split is evaluated neither at the end nor for the best checkpoint."""
    monkeypatch.setattr(loop._Run, "_scores", scored([0.9, 0.5]))
    # A further split is read to report, as `test` is.
    splits = watched.splits | {"shifted": watched.splits["test"]}
    off = {"eval": {"every_steps": 3, "test": False}}
    dataset = dataclasses.replace(watched, splits=splits)
    results = train(dataset=dataset, **EVERY | off)
    assert watched.splits["test"].read_at == [] and len(seen.splits) == 2
    assert results["best/step"] == 3 and results["val/accuracy"] == 0.5
    assert not [key for key in results if "test" in key or "shifted" in key]


@pytest.mark.parametrize(
    ("eval_group", "drawn"),
    [({}, [True, True]), ({"pictures": False}, [False, True])],
)
def test_pictures_are_drawn_at_each_evaluation_or_at_the_end(
    eval_group, drawn, train, told
):
    """The evaluations are those of `val` at steps 3 and 6, and of `test` at step 6."""
    train(**EVERY | {"eval": {"every_steps": 3} | eval_group})
    assert steps_of(told, "drawn") == [*drawn, True]
    assert steps_of(told, "evaluation") == [3, 6][not drawn[0] :]


def test_without_val_nothing_is_chosen(train, told, seen, few_digits):
    splits = {role: few_digits.splits[role] for role in ("train", "test")}
    dataset = dataclasses.replace(few_digits, splits=splits)
    results = train(dataset=dataset, **EVERY)
    assert steps_of(told, "test") == [6] and seen.saved == [3, 4, 6]
    assert results["test/accuracy"] == 0.6
    assert not [key for key in results if key.startswith("best/")]


def test_the_curve_of_test_is_asked_for(train, told, values):
    curve = {"every_steps": 3, "test_curve": True}
    train(**EVERY | {"eval": curve})
    assert steps_of(told, "test") == steps_of(told, "val") == [3, 6]


@pytest.mark.parametrize("curve", [False, True])
def test_the_predictions_of_the_last_step_are_kept(curve, train, tmp_path, monkeypatch):
    path, saved, save = tmp_path / predictions.FILE, [], Checkpoints.save

    def noted(self, step, *arguments):
        saved.append((step, path.exists()))
        save(self, step, *arguments)

    monkeypatch.setattr(Checkpoints, "save", noted)
    groups = EVERY | {"eval": {"every_steps": 3, "test_curve": curve}}
    train(**groups)
    # Before the last checkpoint: a run that is killed between the two goes on.
    assert saved == [(3, False), (4, False), (6, True)]
    with np.load(path) as found:
        assert found["identity"].tolist() == [f"test/{i}" for i in range(20)]
        assert found["loss"].tolist() == [6] * 20
    written = path.stat().st_mtime_ns
    train(**groups)
    assert path.stat().st_mtime_ns == written


def test_other_hosts_keep_no_predictions(train, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "is_main_host", lambda: False)
    train()
    assert not (tmp_path / predictions.FILE).exists()


def test_further_splits_are_evaluated_at_the_end(train, seen, few_digits):
    splits = few_digits.splits
    shifted = splits["test"].subset(np.arange(5))
    dataset = dataclasses.replace(few_digits, splits=splits | {"shifted": shifted})
    results = train(dataset=dataset, **EVERY)
    assert [len(split) for split in seen.splits] == [16, 16, 20, 5]
    assert results["shifted/accuracy"] == results["test/accuracy"] == 0.6


def test_a_run_that_no_longer_improves_ends(train, told, seen, monkeypatch):
    groups = EVERY | {"eval": {"every_steps": 1}, "checkpoint": {"keep": 9}}
    groups["train"] = {"steps": 6, "patience": 2, "min_delta": 0.05}
    monkeypatch.setattr(loop._Run, "_scores", scored([0.5, 0.6, 0.64, 0.5]))
    results = train(**groups)
    # 0.64 is the best, but not by 0.05 better than 0.6.
    assert results["step"] == 4 and results["best/step"] == 3
    assert results["test/accuracy"] == 0.4 and results["best/test/accuracy"] == 0.3
    assert seen.saved == [1, 2, 3, 4] and len(seen.batches) == 4
    assert steps_of(told, "say")[-1] == (
        "val/accuracy has not improved in the last 2 evaluations, so the run ends; the "
        "best step is 3"
    )
    again = train(**groups)
    assert len(seen.batches) == 4 and again["step"] == 4
    assert again["best/test/accuracy"] == 0.3


def test_a_step_is_made_anew_where_more_is_trained(train, seen):
    def plan(network):
        paths = list(freezing.shapes_of(network.model, network.image_shape))
        unfreeze = {"unfreeze": ("stage1.*",), "unfreeze_every": 4}
        return freezing.make(lambda: paths, train_only="head", **unfreeze)

    train(plan=plan, **EVERY)
    assert seen.made == [0, 4]


def test_workers_are_ended_with_the_run(train, monkeypatch):
    """The loop also ends its workers if a step fails."""
    closed = []
    original = loop.batches

    @functools.wraps(original)
    def batches(*arguments, **options):
        try:
            yield from original(*arguments, **options)
        finally:
            closed.append(options["batch_size"])

    monkeypatch.setattr(loop, "batches", batches)

    def at(step):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(at, **EVERY)
    assert closed == [8, 8]  # the batch that is shown, and those to train on


def test_the_first_inputs_are_shown_as_training_sees_them(values, few_digits):
    config = resolve(
        values(data={"batch_size": 24, "augmentations": ("crop(padding=1)",)})
    )
    network = setup.network(config, few_digits)
    training = setup.training(network, 24)
    split = few_digits.splits["train"]
    shown = loop._first_inputs(split, training)
    assert len(shown) == loop.PICTURES and shown[0].dtype == np.uint8
    plain = next(loop.batches(split, config.seed, 0, 1, batch_size=loop.PICTURES))
    assert not np.array_equal(shown, plain["image"])


# ------------------------------------------------------------------------ batches


def numbered(count):
    labels = np.arange(count, dtype=np.int32)
    return Arrays(np.zeros((count, 2, 2, 1), np.uint8), labels)


def labels_of(batches):
    return [batch["label"].tolist() for batch in batches]


def test_batches_do_not_depend_on_where_a_run_goes_on():
    options = {"batch_size": 4}
    whole = labels_of(loop.batches(numbered(10), 1, 0, 6, **options))
    assert labels_of(loop.batches(numbered(10), 1, 4, 6, **options)) == whole[4:]
    assert labels_of(loop.batches(numbered(10), 2, 0, 6, **options)) != whole


def test_each_host_has_its_own_rows(monkeypatch, values):
    whole = labels_of(loop.batches(numbered(10), 1, 0, 3, batch_size=4))
    config = resolve(values(eval={"batch_size": 4}))
    parts, tests = [], []
    for host in (0, 1):
        monkeypatch.setattr(loop.parallel, "host_shard", lambda host=host: (host, 2))
        parts.append(labels_of(loop.batches(numbered(10), 1, 0, 3, batch_size=4)))
        tests += list(loop.eval_batches(numbered(10), config))
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    real = [label for b in tests for label in b["label"][b["mask"] > 0].tolist()]
    assert sorted(real) == list(range(10))


@pytest.mark.parametrize(("given", "size"), [(None, 8), (3, 3)])
def test_evaluation_has_the_batch_size_of_training_unless_told(given, size, values):
    config = resolve(values(eval={"batch_size": given}))
    found = list(loop.eval_batches(numbered(10), config))
    assert {len(batch["label"]) for batch in found} == {size}
    assert sum(batch["mask"].sum() for batch in found) == 10
    assert [i for b in found for i in b["index"] if i >= 0] == list(range(10))
