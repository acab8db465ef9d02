"""Schedule-free optimizers: averages of the parameters replace a falling learning rate.

Training computes gradients at the parameters of the state. Evaluation uses an average
of all earlier parameters, which `evaluated` computes (Defazio et al. 2024, "The Road
Less Scheduled"). The schedule should be constant after a warm-up.
"""

from typing import Annotated, Any

import jax
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from optax.contrib import ScheduleFreeState, schedule_free

from cnn_jax.core.ranges import Fraction, NotNegative, Positive, Range, Rate
from cnn_jax.training.schedules import Schedule
from cnn_jax.training.weight_decay import decay_mask

Power = Annotated[float, Range(least=0, most=10)]


def schedule_free_sgd(
    schedule: Schedule,
    *,
    b1: Fraction = 0.9,
    weight_decay: NotNegative = 0.0,
    weight_power: Power = 2.0,
) -> optax.GradientTransformation:
    """Returns schedule-free gradient descent with L2 weight decay.

    Networks with batch normalization need statistics of the averaged parameters for
    evaluation; the running statistics belong to the parameters that are trained.

    Args:
      schedule: the learning rate at each step.
      b1: the share of the average in the parameters at which gradients are computed.
        It has the role of momentum.
      weight_decay: the weights are multiplied by this number and added to the gradient.
      weight_power: the weight of a step in the average is the highest learning rate so
        far, to this power.
    """
    descent = optax.chain(
        optax.add_decayed_weights(weight_decay, decay_mask), optax.sgd(schedule)
    )
    return schedule_free(descent, schedule, b1, weight_power)


def schedule_free_adamw(
    schedule: Schedule,
    *,
    b1: Fraction = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NotNegative = 0.0,
    weight_power: Power = 2.0,
) -> optax.GradientTransformation:
    """Returns schedule-free AdamW.

    Networks with batch normalization need statistics of the averaged parameters for
    evaluation; the running statistics belong to the parameters that are trained.

    Args:
      schedule: the learning rate at each step.
      b1: the share of the average in the parameters at which gradients are computed.
        It has the role of momentum.
      b2: the decay rate of the moving average of the squared gradient.
      eps: a small number that is added to the denominator of the update.
      weight_decay: each step subtracts from the weights their product with this number
        and the learning rate.
      weight_power: the weight of a step in the average is the highest learning rate so
        far, to this power.
    """
    adamw = optax.chain(
        optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(weight_decay, decay_mask),
        optax.scale_by_learning_rate(schedule),
    )
    return schedule_free(adamw, schedule, b1, weight_power)


AVERAGING = (schedule_free_sgd, schedule_free_adamw)


def evaluated(opt_state: Any, params: Any) -> Any:
    """Returns the parameters for evaluation.

    They are the averages of a schedule-free optimizer. With any other optimizer, they
    are `params`.

    Args:
      opt_state: the state of the optimizer.
      params: the parameters of the training state.
    """
    found = jax.tree.leaves(opt_state, is_leaf=_is_schedule_free)
    states = [state for state in found if _is_schedule_free(state)]
    if not states:
        return params
    flat = flatten_dict(params)
    for state in states:
        share = (1 - state.b1) / state.b1
        for path, z in flatten_dict(state.z).items():
            # Exactly the parameter where it equals z, as in a frozen layer.
            flat[path] = flat[path] + share * (flat[path] - z)
    return unflatten_dict(flat)


def _is_schedule_free(node: Any) -> bool:
    return isinstance(node, ScheduleFreeState)
