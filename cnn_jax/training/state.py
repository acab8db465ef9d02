"""The state of training: one pytree."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

# Random numbers are derived, not stored: key(seed), stream, step.
STREAMS = {"init": 0, "augment": 1, "dropout": 2}


class State(flax.struct.PyTreeNode):
    """Everything that changes from step to step, and that a checkpoint holds."""

    step: Any  # int32 scalar; abstract while shapes are worked out
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any  # moving average of params; None where it is not kept

    def variables(self) -> dict[str, Any]:
        """What evaluation applies: the averaged parameters where there are any."""
        return {
            "params": self.params if self.ema is None else self.ema,
            "batch_stats": self.batch_stats,
        }


def stream(seed: int, name: str) -> jax.Array:
    """The key of one kind of random numbers of the run."""
    return jax.random.fold_in(jax.random.key(seed), STREAMS[name])


def create(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    *,
    seed: int,
    ema: bool,
) -> State:
    """A fresh state: float32 parameters drawn from the seed."""

    def init() -> State:
        variables = model.init(
            stream(seed, "init"), jnp.zeros((1, *image_shape)), train=False
        )
        params = variables["params"]
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
            ema=jax.tree.map(jnp.copy, params) if ema else None,
        )

    return jax.jit(init)()


def parameter_count(params: Any) -> int:
    """How many trainable parameters a tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
