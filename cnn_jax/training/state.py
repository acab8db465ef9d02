"""The training state: all values that training changes, as one pytree."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax.training.freezing import EVERYTHING, Phase

# Keys are derived from the seed, the stream and the step, and not stored.
STREAMS = {"init": 0, "augment": 1, "dropout": 2}


class State(flax.struct.PyTreeNode):
    """The values that change from step to step, which checkpoints contain.

    Attributes:
      step: the number of training steps so far.
      params: the parameters of the network.
      batch_stats: the running statistics of batch normalization.
      opt_state: the state of the optimizer.
      ema: the averages of `params` and `batch_stats`, of any kind in `averages`; None
        without averages.
    """

    step: Any  # int32 scalar; abstract while tracing
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any  # averages of params and batch_stats, or None

    def variables(self) -> dict[str, Any]:
        """Returns the variables for evaluation: the moving averages if they exist."""
        return self.ema if self.ema is not None else self.raw()

    def raw(self) -> dict[str, Any]:
        """Returns the variables of training, without averages."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    def with_statistics(self, batch_stats: Any) -> "State":
        """Returns the state with other batch statistics for evaluation."""
        if self.ema is not None:
            return self.replace(ema=self.ema | {"batch_stats": batch_stats})
        return self.replace(batch_stats=batch_stats)


def stream(key: jax.Array, name: str) -> jax.Array:
    """Returns the random key of a stream of random numbers.

    Args:
      key: the key of the run's seed, `jax.random.key(seed)`.
      name: the name of the stream in `STREAMS`.
    """
    return jax.random.fold_in(key, STREAMS[name])


def create(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, ...],
    *,
    seed: int,
    ema: bool,
    images: jax.Array | None = None,
    initial: Mapping[str, Any] | None = None,
    phase: Phase = EVERYTHING,
) -> State:
    """Returns a state before the first step, with float32 parameters from the seed.

    Args:
      model: the network.
      optimizer: the optimizer.
      image_shape: the shape of an image.
      seed: the seed of the run.
      ema: whether the state contains moving averages of the variables.
      images: normalized images, for layers that compute their initial parameters from
        images; None: an image of zeros.
      initial: variables that replace the variables drawn from the seed.
      phase: the trained parameters; frozen parameters get no optimizer state.
    """

    def init(
        key: jax.Array, images: jax.Array | None, initial: Mapping[str, Any]
    ) -> State:
        seen = jnp.zeros((1, *image_shape)) if images is None else images
        # The compiler leaves out the outputs and what makes replaced variables.
        variables = model.init(key, seen, train=False)
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

    return jax.jit(init)(stream(jax.random.key(seed), "init"), images, initial or {})


def parameter_count(params: Any) -> int:
    """Returns the number of parameters in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
