"""Schedule-free optimizers against the three sequences of the paper, in NumPy."""

import jax
import numpy as np
import pytest

from cnn_jax.training.optimizers.grouped import grouped
from cnn_jax.training.optimizers.schedule_free import (
    evaluated,
    schedule_free_adamw,
    schedule_free_sgd,
)
from cnn_jax.training.optimizers.sgd import sgd
from tests.training.optimizers.rules import (
    PARAMS,
    RATES,
    arrays,
    assert_close,
    float32,
    gradients,
    schedule,
    steps_of,
)

B1, DECAY = 0.8, 0.1


def sgd_step(p, g, memory):
    return g


def adamw_step(p, g, memory):
    t = memory["t"] = memory.get("t", 0) + 1
    v = memory["v"] = 0.9 * memory.get("v", 0) + 0.1 * g**2
    return g / (np.sqrt(v / (1 - 0.9**t)) + 1e-3)


@pytest.mark.parametrize(
    ("optimizer", "direction"),
    [
        (schedule_free_sgd(schedule, b1=B1, weight_decay=DECAY), sgd_step),
        (
            schedule_free_adamw(
                schedule, b1=B1, b2=0.9, eps=1e-3, weight_decay=DECAY, weight_power=1.0
            ),
            adamw_step,
        ),
    ],
)
def test_training_at_y_and_evaluation_at_x(optimizer, direction):
    """Algorithm 1 of Defazio et al. 2024."""
    power = 2 if direction is sgd_step else 1
    x, z = arrays(PARAMS), arrays(PARAMS)
    memory, total, most = {}, 0.0, 0.0
    for step, (params, state) in enumerate(steps_of(optimizer)):
        # A step is weighted by the learning rate of the next step.
        most = max(most, RATES[min(step + 1, len(RATES) - 1)])
        total += most**power
        share = most**power / total
        grads = gradients(step)
        for module, leaves in x.items():
            for name in leaves:
                y = B1 * x[module][name] + (1 - B1) * z[module][name]
                own = memory.setdefault((module, name), {})
                change = direction(y, grads[module][name], own)
                change = change + DECAY * y * (name == "kernel")
                z[module][name] = z[module][name] - RATES[step] * change
                x[module][name] = (1 - share) * x[module][name] + share * (
                    z[module][name]
                )
        assert_close(params, jax.tree.map(lambda a, b: B1 * a + (1 - B1) * b, x, z))
        assert_close(evaluated(state, params), x)


def test_the_state_of_a_group_has_only_its_parameters():
    optimizer = grouped(
        {
            "free": schedule_free_sgd(schedule, b1=B1),
            "plain": sgd(schedule),
        },
        lambda path: "free" if path[0] == "conv" else "plain",
    )
    *_, (params, state) = steps_of(optimizer)
    found = evaluated(state, params)
    assert found["norm"] is params["norm"] or found["norm"] == params["norm"]
    assert np.any(found["conv"]["kernel"] != params["conv"]["kernel"])


def test_parameters_that_did_not_move_are_evaluated_to_the_bit():
    params = float32(arrays(PARAMS))
    state = schedule_free_sgd(schedule).init(params)
    found = evaluated((state,), params)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), found, params))


def test_other_optimizers_evaluate_their_parameters():
    params = float32(arrays(PARAMS))
    assert evaluated(sgd(schedule).init(params), params) is params
