"""The training loop. There is one; tasks, models and data are its arguments."""

import contextlib
import functools
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax.data import loading
from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.errors import UserError
from cnn_jax.tasks import pictures
from cnn_jax.training import config as config_lib
from cnn_jax.training import metrics, parallel
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.evaluation import evaluate
from cnn_jax.training.run import Network, Training, fresh_state
from cnn_jax.training.state import parameter_count, stream
from cnn_jax.training.step import make_eval_step, make_train_step
from cnn_jax.training.writers import Console, Log

Batches = Iterator[Mapping[str, np.ndarray]]


class Stopped(SystemExit):
    """The run was told to end, has saved its state, and can go on from it."""


def batches(
    split: Split, seed: int, start: int, stop: int, *, batch_size: int, workers: int = 0
) -> Batches:
    """This host's rows of the training batches of steps `start` to `stop`.

    Args:
      batch_size: examples a step, over all devices of all hosts.
      workers: processes that load and decode, for data that is not in memory.
    """
    return loading.train_batches(
        split,
        batch_size=batch_size,
        seed=seed,
        start_step=start,
        stop_step=stop,
        workers=workers,
        shard=parallel.host_shard(),
    )


def eval_batches(split: Split, config: Mapping[str, Any]) -> Batches:
    """This host's rows of every example of a split, padded and masked."""
    return loading.eval_batches(
        split,
        batch_size=config.eval.batch_size or config.data.batch_size,
        workers=config.data.workers,
        shard=parallel.host_shard(),
    )


class Meter:
    """Training metrics since the last line of the log, and the time they took.

    What a step returns stays on the devices until it is drained, so the loop never
    waits for a step just to count it. Saved with a checkpoint, it makes the log of
    a resumed run the log of one that was left alone.
    """

    def __init__(self, saved: Mapping[str, Any]):
        self._pending: list = []
        self._totals = {
            name: (np.float64(total), count)
            for name, (total, count) in saved.get("totals", {}).items()
        }
        self._clock: float | None = None  # running since; None: stopped
        # [examples, seconds] of the steps since the last line, and of all.
        self._recent = [0, 0.0]
        self._speed = list(saved.get("speed", [0, 0.0]))

    def add(self, step: int, pairs: Any, examples: int) -> None:
        """Notes what a step returned, without waiting for it."""
        self._pending.append((step, pairs))
        if self._clock is None:
            # The first step after a pause compiles, or fills the pipeline: what
            # it took says nothing of the speed.
            jax.block_until_ready(pairs)
            self._clock = time.perf_counter()
        else:
            self._recent[0] += examples

    def drain(self) -> None:
        """Waits for the steps that are under way and adds up their metrics.

        Raises:
          NonFinite: the loss of a step is not a finite number.
        """
        for step, pairs in jax.device_get(self._pending):
            total, count = pairs["loss"]
            if not np.isfinite(total):
                raise NonFinite(step, float(total / count))
            self._totals = metrics.add(self._totals, pairs)
        self._pending = []
        if self._clock is not None:
            now = time.perf_counter()
            self._recent[1] += now - self._clock
            self._clock = now

    def pause(self) -> None:
        """Stops the clock until the next step. Drain first."""
        self._clock = None
        self._speed = [a + b for a, b in zip(self._speed, self._recent, strict=True)]
        self._recent = [0, 0.0]

    def row(self) -> dict[str, float]:
        """The means since the last row, which this one ends. Drain first."""
        values = {
            f"train/{name}": value
            for name, value in metrics.means(self._totals).items()
        }
        self._totals = {}
        examples, seconds = self._recent
        if examples:
            values["examples_per_second"] = examples / seconds
        self._speed = [self._speed[0] + examples, self._speed[1] + seconds]
        self._recent = [0, 0.0]
        return values

    def examples_per_second(self) -> float | None:
        """Training speed over the whole run, compilation and evaluation left out."""
        examples, seconds = (
            a + b for a, b in zip(self._speed, self._recent, strict=True)
        )
        return examples / seconds if examples else None

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, as JSON. Drain first."""
        return {
            "totals": {
                name: [float(total), count]
                for name, (total, count) in self._totals.items()
            },
            "speed": [a + b for a, b in zip(self._speed, self._recent, strict=True)],
        }


class NonFinite(Exception):
    """The loss became infinite or not a number."""

    def __init__(self, step: int, loss: float):
        super().__init__(f"the loss is {loss} at step {step}")


def train(
    config: Mapping[str, Any],
    dataset: Dataset,
    network: Network,
    training: Training,
    workdir: Path,
    *,
    description: str,
) -> dict[str, Any]:
    """Trains to the end, from the newest checkpoint if there is one.

    Args:
      description: the layer table, in Markdown, to stand in TensorBoard.

    Returns:
      The results: flat, as they go into results.json.

    Raises:
      Stopped: a signal came; the state is saved.
      UserError: the loss is not finite, or the disk cannot be written.
    """
    begun = time.perf_counter()
    train_step = parallel.train_step(
        make_train_step(
            network.model,
            network.task,
            training.optimizer,
            training.schedule,
            augmentation=training.augmentation,
            normalize=network.normalize,
            seed=config.seed,
            ema_decay=config.optimizer.ema_decay,
        )
    )
    eval_step = parallel.eval_step(
        make_eval_step(network.model, network.task, normalize=network.normalize)
    )
    best_metric = f"test/{network.task.best_metric}"

    fresh = functools.partial(fresh_state, config, network, training)
    with (
        _stop_signals() as stopped,
        Checkpoints(
            workdir / "checkpoints",
            best_metric=best_metric,
            keep=config.checkpoint.keep,
        ) as checkpoints,
    ):
        state, progress, complaints = checkpoints.restore_newest(jax.eval_shape(fresh))
        if state is None:
            state = parallel.replicate(fresh())
        start = int(state.step)
        meter = Meter(progress.get("meter", {}))
        results = progress.get("results", {})
        seconds_before = progress.get("seconds", 0.0)

        with (
            Console(
                training.steps,
                start,
                training.steps_per_epoch,
                config.data.batch_size,
                enabled=parallel.is_main_host(),
            ) as console,
            _log(workdir, start) as log,
        ):
            for complaint in complaints:
                console.say(f"warning: {complaint}")
            if start:
                console.say(f"resuming from step {start} of {training.steps}")
            elif log:
                _introduce(log, config, dataset, training, description, best_metric)

            def save(step: int, scores: Mapping[str, float] | None) -> None:
                checkpoints.save(
                    step,
                    state,
                    {
                        "meter": meter.saved(),
                        "results": results,
                        "seconds": seconds_before + time.perf_counter() - begun,
                    },
                    scores,
                )

            def test(step: int) -> dict[str, float]:
                totals, worst = evaluate(
                    eval_step,
                    state.variables(),
                    eval_batches(dataset.splits["test"], config),
                )
                scores = {f"test/{k}": v for k, v in metrics.means(totals).items()}
                if log:
                    log.scalars(step, scores)
                    for name, picture in network.task.summaries(totals, worst).items():
                        log.image(step, f"test/{name}", picture)
                    log.histograms(step, _named_leaves(state.params))
                    log.flush()
                console.say(
                    f"step {step}  "
                    + "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
                )
                return scores

            loaded = batches(
                dataset.splits["train"],
                config.seed,
                start,
                training.steps,
                batch_size=config.data.batch_size,
                workers=config.data.workers,
            )
            try:
                for step, (_, batch) in enumerate(parallel.prefetch(loaded), start + 1):
                    state, pairs = train_step(state, batch)
                    parallel.hold_back(pairs)
                    meter.add(step, pairs, config.data.batch_size)
                    console.step(step)

                    last = step == training.steps
                    if last or step % training.log_every == 0:
                        meter.drain()
                        row = meter.row()
                        row["train/learning_rate"] = float(training.schedule(step - 1))
                        if log:
                            log.scalars(step, row)
                        console.training(step, row)
                    evaluating = last or _due(step, training.eval_every)
                    stopping = parallel.any_host(bool(stopped), step) and not last
                    if not (
                        evaluating or stopping or _due(step, training.checkpoint_every)
                    ):
                        continue
                    meter.drain()
                    meter.pause()
                    scores = None
                    if evaluating:
                        scores = test(step)
                        best = results.get(f"best/{best_metric}", -np.inf)
                        if scores[best_metric] > best:
                            results |= {
                                f"best/{best_metric}": scores[best_metric],
                                "best/step": step,
                            }
                        results |= {"step": step, **scores}
                    save(step, scores)
                    if stopping:
                        number = stopped[0] if stopped else signal.SIGTERM
                        console.say(
                            f"{number.name}: saved step {step} of {training.steps}; "
                            "the same command goes on from there."
                        )
                        raise Stopped(128 + number)
            except NonFinite as error:
                steps = [s for s in checkpoints.steps() if s < step]
                good = (
                    f"The last good checkpoint is that of step {steps[-1]} in "
                    f"{workdir / 'checkpoints'}."
                    if steps
                    else "There is no checkpoint yet."
                )
                raise UserError(
                    f"{error}. {good} Try a lower config.optimizer.learning_rate, a "
                    "longer warm-up or config.optimizer.clip_norm=1."
                ) from error
    return results | {
        "parameters": parameter_count(state.params),
        "train_seconds": seconds_before + time.perf_counter() - begun,
        "examples_per_second": meter.examples_per_second(),
        "config_hash": config_lib.hash_of(config),
    }


def _due(step: int, every: int | None) -> bool:
    return bool(every) and step % every == 0


def _log(workdir: Path, step: int) -> contextlib.AbstractContextManager[Log | None]:
    """The log on the main host; nothing on the others."""
    return Log(workdir, step) if parallel.is_main_host() else contextlib.nullcontext()


def _introduce(
    log: Log,
    config: Mapping[str, Any],
    dataset: Dataset,
    training: Training,
    description: str,
    best_metric: str,
) -> None:
    """What TensorBoard shows of a run before its first step."""
    rows = config_lib.flat(config)
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    log.text(0, "config", f"| key | value |\n|---|---|\n{table}")
    log.text(0, "summary", description)
    log.hparams(rows, {best_metric: 0.0, "test/loss": 0.0})
    first = next(
        batches(dataset.splits["train"], config.seed, 0, 1, batch_size=_divisor(config))
    )
    augmented = jax.jit(training.augmentation)(
        stream(config.seed, "augment"), first["image"], first["index"], first["epoch"]
    )
    log.image(0, "train/augmented", pictures.grid(list(np.asarray(augmented)[:16])))
    log.flush()


def _divisor(config: Mapping[str, Any]) -> int:
    """A batch just large enough for a picture that every host's share can fill."""
    return min(config.data.batch_size, 16 * parallel.host_shard()[1])


def _named_leaves(params: Any) -> dict[str, np.ndarray]:
    """Parameters by path, such as `params/stem/conv/kernel`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path({"params": params})
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(
            leaf.addressable_data(0)
        )
        for path, leaf in leaves
    }


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[signal.Signals]]:
    """Catches SIGTERM and SIGINT (Ctrl-C); a second one ends the process at once.

    With several hosts SIGTERM is JAX's: its preemption service tells the others.
    """
    received: list[signal.Signals] = []
    before = {}
    numbers = [signal.SIGINT]
    if parallel.host_shard()[1] == 1:
        numbers.append(signal.SIGTERM)

    def note(number: int, _: Any) -> None:
        received.append(signal.Signals(number))
        signal.signal(number, before[number])

    for number in numbers:
        before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
