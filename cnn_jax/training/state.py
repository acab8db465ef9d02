"""The state of training: one pytree."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax.training.freezing import EVERYTHING, Phase

# Random numbers are derived, not stored: key(seed), stream, step.
STREAMS = {"init": 0, "augment": 1, "dropout": 2}


class State(flax.struct.PyTreeNode):
    """Everything that changes from step to step, and that a checkpoint holds."""

    step: Any  # int32 scalar; abstract while shapes are worked out
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any  # moving averages of params and batch_stats; None where none are kept

    def variables(self) -> dict[str, Any]:
        """What evaluation applies: the averages where there are any."""
        if self.ema is not None:
            return self.ema
        return {"params": self.params, "batch_stats": self.batch_stats}


def stream(seed: int, name: str) -> jax.Array:
    """The key of one kind of random numbers of the run."""
    return jax.random.fold_in(jax.random.key(seed), STREAMS[name])


def create(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, ...],
    *,
    seed: int,
    ema: bool,
    initial: Mapping[str, Any] | None = None,
    phase: Phase = EVERYTHING,
) -> State:
    """A fresh state: float32 parameters drawn from the seed.

    Args:
      phase: the optimizer has no memory for what rests in it.
      initial: variables that take the place of those drawn, where it has any.
    """

    def init(initial: Mapping[str, Any]) -> State:
        variables = model.init(
            stream(seed, "init"), jnp.zeros((1, *image_shape)), train=False
        )
        # What is replaced is never computed: the compiler leaves it out.
        variables = unflatten_dict(flatten_dict(variables) | flatten_dict(initial))
        params, statistics = variables["params"], variables.get("batch_stats", {})
        averages = {"params": params, "batch_stats": statistics}
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=statistics,
            opt_state=optimizer.init(phase.split(params)[0]),
            ema=jax.tree.map(jnp.copy, averages) if ema else None,
        )

    return jax.jit(init)(initial or {})


def parameter_count(params: Any) -> int:
    """How many trainable parameters a tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
