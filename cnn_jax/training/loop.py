"""The training loop, which all tasks, models and data sets use."""

import contextlib
import dataclasses
import signal
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Examples, Range
from cnn_jax.data import loading, samplers
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Split
from cnn_jax.training import (
    cached_features,
    machine,
    parallel,
    precise_statistics,
    predictions,
    schedules,
)
from cnn_jax.training import config as config_lib
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.config import Config
from cnn_jax.training.evaluation import Evaluation, evaluate
from cnn_jax.training.progress import NonFinite, Progress, check_ended
from cnn_jax.training.record import Report
from cnn_jax.training.setup import Training
from cnn_jax.training.signals import Signals, Stopped, stop_signals
from cnn_jax.training.state import State, parameter_count, stream

Batches = Generator[Mapping[str, np.ndarray], None, None]

PICTURES = 16  # number of augmented training images to show


def batches(
    split: Split,
    seed: int,
    start: int,
    stop: int,
    *,
    batch_size: Examples,
    workers: Annotated[int, Range(least=0, most=1024)] = 0,
    sampler: str = samplers.UNIFORM,
    repeats: Annotated[int, Range(least=1, most=64)] = 1,
) -> Batches:
    """Yields this host's part of the training batch of each step.

    Args:
      split: the training split.
      seed: the seed of the run.
      start: the first step.
      stop: the step after the last step.
      batch_size: the number of examples per step, over all devices of all hosts.
      workers: the number of processes that read and decode data that is not in memory.
      sampler: how training examples are selected: `uniform` uses each example once in
        each epoch, `balanced` uses each class equally often. An import path leads to
        your own sampler; see `data.samplers`.
      repeats: how many times a batch has each of its examples, each time with other
        random changes (repeated augmentation: Hoffer et al. 2020). An epoch keeps its
        number of steps, and uses fewer examples.
    """
    return loading.train_batches(
        split,
        batch_size=batch_size,
        seed=seed,
        start_step=start,
        stop_step=stop,
        workers=workers,
        shard=parallel.host_shard(),
        sampler=sampler,
        repeats=repeats,
    )


def eval_batches(split: Split, config: Config) -> Batches:
    """Yields this host's part of each batch of a split, for evaluation.

    All batches have the same size; padding rows have a "mask" of 0.
    """
    return loading.eval_batches(
        split,
        batch_size=config.eval.batch_size or config.data.batch_size,
        workers=config.data.workers,
        shard=parallel.host_shard(),
        devices=parallel.host_devices(),
    )


def train(
    training: Training,
    dataset: Dataset,
    workdir: Path,
    *,
    table: str,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Trains a network to the last step.

    If the run's folder contains checkpoints, training resumes from the newest
    checkpoint.

    Args:
      training: how the network is trained.
      dataset: the data.
      workdir: the run's folder.
      table: the layer table in Markdown, for TensorBoard.
      tags: further names and values for TensorBoard's HParams table, in addition to the
        values of the config.

    Returns:
      The results, as a flat dict for results.json.

    Raises:
      Stopped: if a signal ended the run; the state is saved.
      UserError: if the loss is not finite, or the disk cannot be written.
    """
    metric = training.network.task.best_metric
    if not training.config.eval.test:
        dataset = _without_test(dataset)
    best_metric = f"val/{metric}" if "val" in dataset.splits else None
    with (
        stop_signals(hosts=parallel.host_shard()[1]) as stopped,
        Checkpoints(
            workdir / "checkpoints",
            best_metric=best_metric,
            keep=training.config.checkpoint.keep,
        ) as checkpoints,
    ):
        state, saved, complaints = checkpoints.restore_newest(training.state_shapes)
        if state is None:
            state = parallel.replicate(training.fresh_state())
        start = int(state.step)
        dataset, said = cached_features.with_features(
            training, dataset, state.variables()
        )
        with (
            Report(workdir, training, start, saved.get("log")) as report,
            _explained(checkpoints),
        ):
            for complaint in complaints:
                report.say(f"warning: {complaint}")
            if said:
                report.say(said)
            if start:
                report.say(f"resuming from step {start} of {training.steps}")
            else:
                inputs = _first_inputs(dataset.splits["train"], training)
                role = "test" if "test" in dataset.splits else "val"
                report.begin(table, tags, inputs, [f"{role}/{metric}", f"{role}/loss"])
            run = _Run(training, dataset, workdir, checkpoints, report, saved)
            state = run.steps(state, stopped)
        with _explained(checkpoints):
            return run.results(state)


class _Run:
    """The steps of a run: training, evaluation, logs and checkpoints."""

    def __init__(
        self,
        training: Training,
        dataset: Dataset,
        workdir: Path,
        checkpoints: Checkpoints,
        report: Report,
        saved: Mapping[str, Any],
    ):
        self._training = training
        self._dataset = dataset
        self._splits = dataset.splits
        self._workdir = workdir
        self._checkpoints = checkpoints
        self._report = report
        self._best_metric = checkpoints.best_metric
        self._progress = Progress(
            saved,
            checkpoints.best_metric,
            **config_lib.arguments(training.config.train, Progress.__init__),
        )
        # The splits that are evaluated during training, and only after the last step.
        during = {"val"} | ({"test"} if training.config.eval.test_curve else set())
        self._during = [role for role in self._splits if role in during]
        self._at_end = [r for r in self._splits if r not in {"train", *during}]
        self._eval_step = training.network.eval_step()

    def steps(self, state: State, stopped: Signals) -> State:
        """Trains until the last step, and returns the state after this step.

        The last step is earlier if evaluations no longer improve; see `Progress`.

        Args:
          state: the state from which training starts or resumes.
          stopped: the received signals. A signal ends training after the current step.

        Raises:
          Stopped: if a signal ended the run; the state is saved.
        """
        training, progress, report = self._training, self._progress, self._report
        config, start = training.config, int(state.step)
        changes = training.changes
        train_step, step, saving = training.step(start), start, True
        self._statistics_step = training.statistics_step(start)
        key = parallel.replicate(jax.random.key(config.seed))
        last = start == training.steps or progress.ends_early
        loaded = batches(
            self._splits["train"],
            config.seed,
            start,
            start if last else training.steps,
            **config_lib.arguments(config.data, batches),
        )
        with contextlib.closing(loaded):
            on_devices = stopped.waiting(parallel.prefetch(loaded))
            for step, (_, batch) in enumerate(on_devices, start + 1):
                if step - 1 in changes:
                    progress.drain()
                    progress.rest()
                    train_step = training.step(step - 1)
                    self._statistics_step = training.statistics_step(step - 1)
                state, pairs = train_step(state, batch, key)
                parallel.hold_back(pairs)
                progress.add(step, pairs, config.data.batch_size)
                report.step(step)

                last, scores = step == training.steps, None
                logging = last or _due(step, training.log_every)
                evaluating = last or _due(step, training.eval_every)
                stopping = parallel.any_host(bool(stopped), step)
                saving = evaluating or stopping or _due(step, training.checkpoint_every)
                if logging or saving:
                    progress.drain()
                if logging:
                    report.training(step, progress.row(), self._factor(state))
                if evaluating:
                    state = self._with_precise_statistics(state)
                    scores = self._evaluate(step, state, last)
                    if progress.ends_early and not last:
                        last = True
                        report.say(self._reason())
                        if not logging:
                            report.training(step, progress.row(), self._factor(state))
                    state = self._reacted(step, state, scores)
                if saving:
                    self._save(step, state, scores)
                if last or stopping:
                    break
        if not last:
            if not saving:  # a signal ended the wait for the next batch
                progress.drain()
                self._save(step, state)
            number = stopped[0] if stopped else signal.SIGTERM
            report.say(
                f"{number.name}: saved step {step} of {training.steps}; run the same "
                "command again to resume."
            )
            raise Stopped(128 + number)
        return state

    def _factor(self, state: State) -> float:
        """Returns the factor of the schedule's learning rate."""
        return schedules.factor_of(self._training.schedule, state.opt_state)

    def _reacted(self, step: int, state: State, scores: Mapping[str, float]) -> State:
        """Returns the state after the schedule has reacted to an evaluation.

        Args:
          step: the number of training steps so far.
          state: the state that was evaluated.
          scores: the scores of the evaluation.
        """
        schedule, before = self._training.schedule, state.opt_state
        score = scores.get(self._best_metric or "", np.nan)
        after = schedules.reacted(schedule, before, score)
        if after is before:
            return state
        factor = schedules.factor_of(schedule, after)
        if factor != schedules.factor_of(schedule, before):
            rate = factor * float(schedule(step))
            self._report.say(f"step {step}  learning rate {rate:.3g} from now on")
        return state.replace(opt_state=parallel.replicate(after))

    def _with_precise_statistics(self, state: State) -> State:
        """Returns the state with batch statistics over `eval.statistics_examples`
        training images, or the same state if this key is not set."""
        config = self._training.config
        if config.eval.statistics_examples is None:
            return state
        count = -(-config.eval.statistics_examples // config.data.batch_size)
        options = config_lib.arguments(config.data, batches)
        loaded = batches(self._splits["train"], config.seed, 0, count, **options)
        with contextlib.closing(loaded):
            found = precise_statistics.computed(
                self._statistics_step,
                state.variables(),
                loaded,
                parallel.replicate(jax.random.key(config.seed)),
            )
        return state.with_statistics(parallel.replicate(found))

    def _reason(self) -> str:
        """Returns why the run ends before its last step."""
        return (
            f"{self._best_metric} has not improved in the last "
            f"{self._training.config.train.patience} evaluations, so the run ends; the "
            f"best step is {self._progress.results['best/step']}"
        )

    def results(self, state: State) -> dict[str, Any]:
        """Returns the results of a complete run.

        Args:
          state: the state after the last step.

        Raises:
          NonFinite: if a result or a variable is NaN or infinite.
        """
        training, progress = self._training, self._progress
        found = progress.results | self._best()
        check_ended(int(state.step), found, state.variables())
        mark = self._report.mark()
        return found | {
            "parameters": parameter_count(state.params),
            "peak_memory_bytes": machine.peak_memory(),
            "train_seconds": progress.seconds(),
            "examples_per_second": progress.examples_per_second(),
            "config_hash": config_lib.hash_of(training.config),
            "metrics_checksum": f"{mark['crc32']:08x}" if mark else None,
        }

    def _best(self) -> dict[str, float]:
        """Returns the scores of the best checkpoint on the test split.

        The names begin with "best/test/". There are none if no checkpoint was chosen,
        or if the test split is not evaluated.
        """
        progress = self._progress.results
        if self._best_metric is None or "test" not in self._splits:
            return {}
        step = int(progress["best/step"])
        if step == progress["step"]:
            scores = {k: v for k, v in progress.items() if k.startswith("test/")}
        else:
            self._checkpoints.wait()
            like = self._training.network.state_shapes
            variables = self._checkpoints.variables(step, like)
            scores = self._scores("test", self._evaluated("test", variables))
        return {f"best/{name}": value for name, value in scores.items()}

    def _scores(self, role: str, found: Evaluation) -> dict[str, float]:
        """Returns the scores of an evaluation, such as {"test/loss": 0.1}."""
        scores = self._training.network.task.scores(found.totals, found.rows)
        return {f"{role}/{name}": value for name, value in scores.items()}

    def _evaluated(self, role: str, variables: Any) -> Evaluation:
        """Returns the evaluation of a split.

        Args:
          role: the name of the split, such as "test".
          variables: the network's variables.
        """
        loaded = eval_batches(self._splits[role], self._training.config)
        task = self._training.network.task
        collected = (*task.collected, *(task.kept if role == "test" else ()))
        return evaluate(self._eval_step, variables, loaded, collected)

    def _evaluate(self, step: int, state: State, last: bool) -> dict[str, float]:
        """Evaluates the splits that are due, reports them, and returns the scores.

        Args:
          step: the number of training steps so far.
          state: the state after these steps.
          last: whether this is the last step of the run.
        """
        scores: dict[str, float] = {}
        found: dict[str, Evaluation] = {}

        def evaluate_splits(roles: list[str]) -> None:
            for role in roles:
                found[role] = self._evaluated(role, state.variables())
                scores.update(self._scores(role, found[role]))
                if self._training.config.eval.raw:
                    scores.update(self._raw_scores(role, state))

        evaluate_splits(self._during)
        self._progress.evaluated(step, scores)
        if last := last or self._progress.ends_early:
            evaluate_splits(self._at_end)
            self._progress.results |= scores
            if "test" in found:  # not with eval.test=false
                self._keep_predictions(found["test"])
        drawing = last or self._training.config.eval.pictures
        for role, each in found.items():
            self._report.evaluation(step, role, each, scores, pictures=drawing)
        if drawing:
            self._report.parameters(step, state.params)
        return scores

    def _raw_scores(self, role: str, state: State) -> dict[str, float]:
        """Returns the main scores of the parameters without averages.

        Their names begin with "raw_", such as {"val/raw_loss": 0.1}.
        """
        scores = self._scores(role, self._evaluated(role, state.raw()))
        names = (self._training.network.task.best_metric, "loss")
        return {
            f"{role}/raw_{name}": scores[f"{role}/{name}"]
            for name in names
            if f"{role}/{name}" in scores
        }

    def _keep_predictions(self, found: Evaluation) -> None:
        """Writes the predictions on the test split into the run's folder.

        The checkpoint of the last step is saved later, so a run that is killed between
        the two writes the predictions again.
        """
        if parallel.is_main_host():
            task = self._training.network.task
            identities = self._dataset.identities("test")
            if kept := predictions.columns(task, found.rows, identities):
                predictions.write(self._workdir, kept)

    def _save(
        self, step: int, state: State, scores: dict[str, float] | None = None
    ) -> None:
        """Saves a checkpoint.

        Args:
          step: the number of training steps so far.
          state: the state to save.
          scores: the scores of the evaluation at this step; None if there was no
            evaluation. Scores are saved only if the best metric is finite, because
            saved scores decide which checkpoint is the best.
        """
        if scores and self._best_metric and not np.isfinite(scores[self._best_metric]):
            scores = None
        noted = self._progress.saved() | {"log": self._report.mark()}
        self._checkpoints.save(step, state, noted, scores)
        self._progress.rest()


def _without_test(dataset: Dataset) -> Dataset:
    """Returns the data without the splits that only reports read."""
    splits = {r: s for r, s in dataset.splits.items() if r in ("train", "val")}
    return dataclasses.replace(dataset, splits=splits)


def _due(step: int, every: int | None) -> bool:
    """Returns whether `step` is a multiple of `every`; None or 0 means never."""
    return every is not None and every > 0 and step % every == 0


def _first_inputs(split: Split, training: Training) -> list[np.ndarray]:
    """Returns the first training images of the run after augmentation, as uint8."""
    config, hosts = training.config, parallel.host_shard()[1]
    few = min(config.data.batch_size, PICTURES * hosts)
    with contextlib.closing(
        batches(split, config.seed, 0, 1, batch_size=few)
    ) as loaded:
        batch = next(loaded)
    augmented = jax.jit(training.augmentation)(
        stream(jax.random.key(config.seed), "augment"), batch
    )
    return list(np.asarray(augmented["image"]))


@contextlib.contextmanager
def _explained(checkpoints: Checkpoints) -> Iterator[None]:
    """Turns `NonFinite` into a `UserError` that suggests what the user can do."""
    try:
        yield
    except NonFinite as error:
        # A checkpoint of the step before would reproduce the same loss.
        steps = [step for step in checkpoints.steps() if step < error.step - 1]
        good = (
            f"The last good checkpoint is of step {steps[-1]} in "
            f"{checkpoints.directory}."
            if steps
            else "There is no good checkpoint."
        )
        raise UserError(
            f"{error}. {good} Try a lower config.optimizer.learning_rate, a longer "
            "warm-up (config.schedule.warmup_...) or config.optimizer.clip_norm=1."
        ) from error
