"""Sharpness-aware minimization."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def sharpness_aware(
    optimizer: optax.GradientTransformation, radius: float
) -> optax.GradientTransformationExtraArgs:
    """Returns an optimizer that gets the gradient at parameters with a higher loss.

    These parameters are the current parameters plus a step of the length `radius` in
    the direction of the gradient (Foret et al. 2021, "Sharpness-Aware Minimization",
    algorithm 1). A step computes two gradients. The state is that of `optimizer`.

    Unlike `optax.contrib.sam`, a gradient of zeros leads to no division by zero.

    Args:
      optimizer: the optimizer that updates the parameters.
      radius: the distance of the other parameters from the current parameters.
    """

    def update(
        grads: Any, state: Any, params: Any = None, *, grad_fn: Any, **extra: Any
    ) -> tuple[Any, Any]:
        """Returns the changes of the parameters, and the state.

        Args:
          grads: the gradient at `params`.
          state: the state of the optimizer.
          params: the parameters.
          grad_fn: as in `optax.contrib.sam`: a function that returns the gradient at
            its first argument. The second argument is the number of the extra gradient.
          extra: arguments of other optimizers.
        """
        del extra
        scale = radius / jnp.maximum(optax.tree.norm(grads), 1e-12)
        higher = jax.tree.map(lambda p, g: p + scale * g, params, grads)
        return optimizer.update(grad_fn(higher, 0), state, params)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)
