"""The training step and the evaluation step, for a single device."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from cnn_jax.data import augment
from cnn_jax.models.classifier import cached
from cnn_jax.tasks import Task
from cnn_jax.tasks.metrics import Pairs
from cnn_jax.training import averages, rematerialization
from cnn_jax.training import views as view_lib
from cnn_jax.training.freezing import EVERYTHING, Phase, join
from cnn_jax.training.parallel import AXIS
from cnn_jax.training.state import State, stream

Batch = Mapping[str, jax.Array]


def make_train_step(
    model: nn.Module,
    task: Task,
    optimizer: optax.GradientTransformation,
    *,
    augmentation: augment.Augment,
    normalize: Callable[[jax.Array], jax.Array],
    averaging: averages.Averaging | None = None,
    phase: Phase = EVERYTHING,
    accumulate: int = 1,
    remat: str | None = None,
) -> Callable[[State, Batch, jax.Array], tuple[State, Pairs]]:
    """Returns the training step for one device.

    The step is a function `(state, batch, key) -> state, metrics`. The key is that of
    the run's seed; since it is an argument, runs that differ only in their seeds have
    equal programs.

    The step must be mapped over the axis "batch"; see `parallel.train_step`. The step
    averages gradients and running batch statistics over the devices. Each device
    normalizes with the statistics of its own part of the batch, unless the model
    synchronizes the statistics.

    Args:
      model: the network.
      task: the task.
      optimizer: the optimizer. It can use the extra argument `grad_fn`, as in
        `optax.contrib.sam`: a function `(trained parameters, number) -> gradient` on
        the same batch, averaged over the devices. Its passes do not change the running
        batch statistics.
      augmentation: the function that changes training images at random.
      normalize: the function that normalizes images.
      averaging: how the variables are averaged; None: they are not averaged.
      phase: the trained and the frozen parameters. The step does not change frozen
        parameters and the statistics of frozen layers, and does not compute gradients
        for frozen parameters.
      accumulate: the number of parts into which the batch of a device is divided; see
        `in_parts`.
      remat: the modules that keep only their inputs; see `rematerialization`.
    """

    def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, Pairs]:
        batch = augmentation(stream(key, "augment"), batch)
        dropout = jax.random.fold_in(stream(key, "dropout"), state.step)
        dropout = jax.random.fold_in(dropout, lax.axis_index(AXIS))

        trained, rest = phase.split(state.params)

        gradient = make_gradient(model, task, normalize, phase, rest, remat)

        def gradient_at(trained: Any) -> tuple[Any, tuple[Any, Pairs]]:
            grads, others = in_parts(
                partial(gradient, trained),
                state.batch_stats,
                batch,
                dropout,
                accumulate,
            )
            return lax.pmean(grads, AXIS), others

        grads, (statistics, pairs) = gradient_at(trained)
        updates, opt_state = optax.with_extra_args_support(optimizer).update(
            grads,
            state.opt_state,
            trained,
            grad_fn=lambda trained, _: gradient_at(trained)[0],
        )
        params = join(optax.apply_updates(trained, updates), rest)
        statistics = lax.pmean(statistics, AXIS)
        statistics = phase.keep(statistics, state.batch_stats)
        ema = state.ema
        if averaging is not None:
            new = {"params": params, "batch_stats": statistics}
            ema = averaging(state.step, opt_state, new, ema)
            # Averages of frozen values would differ from them by rounding.
            ema = {kind: phase.keep(ema[kind], new[kind]) for kind in new}
        new_state = State(
            step=state.step + 1,
            params=params,
            batch_stats=statistics,
            opt_state=opt_state,
            ema=ema,
        )
        pairs = lax.psum(pairs, AXIS)
        return new_state, pairs | {"gradient_norm": (optax.tree.norm(grads), 1.0)}

    return step


def make_gradient(
    model: nn.Module,
    task: Task,
    normalize: Callable[[jax.Array], jax.Array],
    phase: Phase,
    rest: Any,
    remat: str | None = None,
) -> Callable[..., tuple[Any, tuple[Any, Pairs]]]:
    """Returns the gradient of the loss of a batch.

    The gradient is a function `(trained, statistics, batch, dropout) -> gradient,
    (statistics, metrics)` of the trained parameters, the batch statistics, the batch
    and a random key.

    Args:
      model, task, normalize, phase, remat: see `make_train_step`.
      rest: the frozen parameters.
    """

    def loss_of(
        trained: Any, statistics: Any, batch: Batch, dropout: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Pairs]]:
        variables = {"params": join(trained, rest), "batch_stats": statistics}
        variables |= phase.marks(statistics) | cached(batch.get("features"))
        with rematerialization.rematerialized(remat=remat):
            outputs, updated = model.apply(
                variables,
                normalize(batch["image"]),
                train=True,
                mutable=["batch_stats", "auxiliary"],
                rngs={"dropout": dropout},
            )
        loss = task.loss(outputs, batch, jax.tree.leaves(updated.get("auxiliary", {})))
        pairs = dict(task.metrics(outputs, batch))
        pairs["objective"] = (loss, jnp.ones(()))
        return loss, (updated.get("batch_stats", {}), pairs)

    return jax.grad(loss_of, has_aux=True)


def in_parts(
    gradient: Callable[[Any, Batch, jax.Array], tuple[Any, tuple[Any, Pairs]]],
    statistics: Any,
    batch: Batch,
    dropout: jax.Array,
    parts: int,
) -> tuple[Any, tuple[Any, Pairs]]:
    """Returns the mean gradient of a batch whose parts are computed one after another.

    The activations of a single part are in memory at a time. The gradient equals the
    gradient of the whole batch up to rounding, unless layers normalize over the
    examples: batch normalization normalizes each part by itself, and updates its
    running statistics with each part.

    Args:
      gradient: a function from batch statistics, a batch and a random key to the
        gradient and a pair: the new batch statistics, and the metrics.
      statistics: the batch statistics before the step.
      batch: the batch of a device.
      dropout: the random key; each part gets a key of its own.
      parts: the number of parts, which divides the number of examples.

    Returns:
      The same as `gradient`. The metrics are the sums over all parts.
    """
    if parts == 1:
        return gradient(statistics, batch, dropout)

    def add(sums: Any, part: tuple[Any, Batch]) -> tuple[Any, None]:
        (statistics, *before), (number, batch) = sums, part
        key = jax.random.fold_in(dropout, number)
        grads, (statistics, pairs) = gradient(statistics, batch, key)
        return (statistics, *jax.tree.map(jnp.add, before, [grads, pairs])), None

    divided = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    first = jax.tree.map(lambda x: x[0], divided)
    shapes = jax.eval_shape(gradient, statistics, first, dropout)
    grads, (_, pairs) = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (statistics, grads, pairs), _ = lax.scan(
        add, (statistics, grads, pairs), (jnp.arange(parts), divided)
    )
    return jax.tree.map(lambda x: x / parts, grads), (statistics, pairs)


def make_eval_step(
    model: nn.Module,
    task: Task,
    *,
    normalize: Callable[[jax.Array], jax.Array],
    views: Sequence[str] = (),
) -> Callable[[Any, Batch], tuple[Pairs, dict[str, jax.Array]]]:
    """Returns the evaluation step for one device.

    The step is a function `(variables, batch) -> metrics, predictions` that must be
    mapped over the axis "batch"; see `parallel.eval_step`. Metrics are summed over all
    devices. Predictions have one row for each example of the device.

    Args:
      model: the network.
      task: the task.
      normalize: the function that normalizes images.
      views: the kinds of views of each image whose outputs are averaged; see `views`.
    """

    def step(variables: Any, batch: Batch) -> tuple[Pairs, dict[str, jax.Array]]:
        variables = {**variables, **cached(batch.get("features"))}
        apply = partial(model.apply, variables, train=False)
        averaged = view_lib.averaged(apply, views, task.output_kind)
        outputs = averaged(normalize(batch["image"]))
        return (
            lax.psum(dict(task.metrics(outputs, batch)), AXIS),
            task.predictions(outputs, batch),
        )

    return step
