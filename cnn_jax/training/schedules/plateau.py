"""A learning rate that falls when the validation score no longer improves.

The other schedules are functions of the step. This schedule also depends on the
evaluations so far, so its memory is a part of the optimizer's state, and of each
checkpoint.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.core.ranges import Count, Fraction, NotNegative, Rate
from cnn_jax.training.config import Duration
from cnn_jax.training.schedules.warm_up import Schedule, warm_up


class Memory(NamedTuple):
    """The memory of the evaluations so far.

    Attributes:
      factor: the factor of the learning rate, float32.
      best: the score that the next evaluations must exceed, float32.
      waited: the number of evaluations since the last improvement or fall, int32.
    """

    factor: Any
    best: Any
    waited: Any


@dataclass(frozen=True)
class Plateau:
    """A schedule with a memory of the evaluations.

    Attributes:
      rate: the learning rate at each step, without the factor of the memory.
      fall, patience, min_delta, least: see `plateau`.
    """

    rate: Schedule
    fall: float
    patience: int
    min_delta: float
    least: float

    def __call__(self, step: int | jax.Array) -> jax.Array:
        return jnp.asarray(self.rate(step))

    def wrapped(
        self, optimizer: optax.GradientTransformation
    ) -> optax.GradientTransformation:
        """Returns the optimizer with updates multiplied by the factor of the memory.

        The new state is the pair of the optimizer's state and the memory.
        """

        def init(params: Any) -> Memory:
            del params
            return Memory(
                jnp.ones(()), jnp.full((), -jnp.inf), jnp.zeros((), jnp.int32)
            )

        def update(
            updates: Any, memory: Memory, params: Any = None
        ) -> tuple[Any, Memory]:
            del params
            return jax.tree.map(lambda x: memory.factor * x, updates), memory

        return optax.chain(optimizer, optax.GradientTransformation(init, update))

    def after(self, memory: Memory, score: float) -> Memory:
        """Returns the memory after an evaluation.

        Args:
          memory: the memory before the evaluation, as numbers.
          score: the score of the evaluation; higher is better. NaN is no improvement.
        """
        if score > memory.best + self.min_delta:
            return Memory(memory.factor, np.float32(score), np.int32(0))
        if memory.waited + 1 < self.patience:
            return memory._replace(waited=np.int32(memory.waited + 1))
        factor = np.float32(max(memory.factor * self.fall, self.least))
        return Memory(factor, memory.best, np.int32(0))


def plateau(
    peak: float,
    steps: int,
    *,
    warmup: Duration = 0,
    factor: Fraction = 0.1,
    patience: Count = 5,
    min_delta: NotNegative = 0.0,
    least_factor: Rate = 0.0,
) -> Plateau:
    """Returns a learning rate that falls when the validation score stops improving.

    The learning rate is `peak` after a linear warm-up. It is multiplied by `factor`
    after `patience` evaluations in a row without an improvement of the task's main
    metric on the validation split. `eval.every_epochs` says how often the split is
    evaluated.

    Args:
      peak: the highest learning rate.
      steps: the number of steps of the run.
      warmup: the length of the warm-up.
      factor: the number by which the learning rate is multiplied.
      patience: the number of evaluations in a row without an improvement.
      min_delta: the least increase of the metric that counts as an improvement.
      least_factor: the lowest learning rate, as a fraction of the highest.

    Raises:
      UserError: if the warm-up is as long as the run.
    """
    rate = warm_up(peak, steps, warmup, optax.constant_schedule(peak))
    return Plateau(rate, factor, patience, min_delta, least_factor)


def reacted(schedule: Schedule, opt_state: Any, score: float) -> Any:
    """Returns the optimizer's state after an evaluation.

    Only a `Plateau` reacts to an evaluation.

    Args:
      schedule: the schedule of the run.
      opt_state: the state of the optimizer.
      score: the main score on the validation split.
    """
    if not isinstance(schedule, Plateau):
        return opt_state
    inner, memory = opt_state
    return inner, schedule.after(jax.device_get(memory), score)


def factor_of(schedule: Schedule, opt_state: Any) -> float:
    """Returns the present factor of the learning rate; 1 for other schedules."""
    return float(opt_state[1].factor) if isinstance(schedule, Plateau) else 1.0
