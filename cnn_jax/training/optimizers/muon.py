"""Muon: orthogonalized momentum for the kernels of convolutions."""

import math
from functools import partial
from typing import Annotated, Any

import jax
import optax
import optax.contrib

from cnn_jax.core.ranges import NotNegative, Positive, Range, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask, decays

CONVOLUTION = 3  # the rank of a kernel with one spatial dimension


def muon(
    schedule: Schedule,
    *,
    momentum: Rate = 0.95,
    nesterov: bool = True,
    newton_schulz_steps: Annotated[int, Range(least=1, most=20)] = 5,
    update_rms: Positive | None = 0.2,
    adam_factor: Positive = 1.0,
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NotNegative = 0.01,
) -> optax.GradientTransformation:
    """Returns Muon for the kernels of convolutions, and AdamW for other parameters.

    The kernel of a convolution is a matrix with a column for each output channel:
    [height * width * input channels, output channels]. Muon replaces the singular
    values of the kernel's momentum by numbers near 1, with the iteration of Newton and
    Schulz (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural
    networks"). Weight decay is decoupled.

    Args:
      schedule: the learning rate at each step.
      momentum: the decay rate of the moving average of the gradient, for Muon.
      nesterov: whether momentum is Nesterov's momentum, for Muon.
      newton_schulz_steps: the number of iterations of Newton and Schulz.
      update_rms: the factor `update_rms * sqrt(max(rows, columns))` of an
        orthogonalized kernel. With 0.2, learning rates of AdamW are suitable (Liu et
        al. 2025, "Muon is Scalable for LLM Training"). None: the factor
        `sqrt(max(1, columns / rows))` of Jordan et al.
      adam_factor: AdamW's learning rate is that of the schedule, multiplied by this
        number.
      b1: AdamW's decay rate of the moving average of the gradient.
      b2: AdamW's decay rate of the moving average of the squared gradient.
      eps: a small number that is added to denominators.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
    """
    # `optax.contrib.muon` decays all parameters that AdamW updates, biases too.
    kernels = optax.chain(
        optax.contrib.scale_by_muon(
            ns_steps=newton_schulz_steps,
            beta=momentum,
            eps=eps,
            nesterov=nesterov,
            weight_dimension_numbers=partial(jax.tree.map, _matrix),
        ),
        optax.stateless_with_tree_map(
            lambda update, _: _scale(update.shape, update_rms) * update
        ),
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.scale_by_learning_rate(schedule),
    )
    others = optax.adamw(
        lambda count: adam_factor * schedule(count),
        b1,
        b2,
        eps,
        weight_decay=weight_decay,
        mask=decay_mask,
    )
    return optax.partition({"kernels": kernels, "others": others}, _labels)


def _labels(params: Any) -> Any:
    """Returns a tree with "kernels" for each kernel of a convolution, else "others"."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            "kernels"
            if decays(path[-1].key, leaf.ndim) and leaf.ndim >= CONVOLUTION
            else "others"
        ),
        params,
    )


def _matrix(kernel: jax.Array) -> optax.contrib.MuonDimensionNumbers:
    """Returns the axes of a kernel that are rows, and the axis of the columns."""
    *rows, column = range(kernel.ndim)
    return optax.contrib.MuonDimensionNumbers(tuple(rows), column)


def _scale(shape: tuple[int, ...], update_rms: float | None) -> float:
    """Returns the factor of an orthogonalized kernel; see `muon`.

    Args:
      shape: the shape of the kernel.
      update_rms: see `muon`.
    """
    *rows, columns = shape
    if update_rms is None:
        return math.sqrt(max(1, columns / math.prod(rows)))
    return update_rms * math.sqrt(max(math.prod(rows), columns))
