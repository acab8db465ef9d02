"""Losses of class scores, as pure functions.

A loss takes logits and targets, [..., classes], and returns one loss for each example
or pixel, [...]. Targets are probabilities of the classes: 1 for the label's class, or
less with label smoothing. The keyword-only parameters of a loss are its options in a
config: `task.loss_name="focal(gamma=1.5)"`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from cnn_jax.core import calls, imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import NotNegative

KEY = "task.loss_name"
Logits = Float[Array, "*batch classes"]
Targets = Float[Array, "*batch classes"]
Losses = Float[Array, "*batch"]
Loss = Callable[[Logits, Targets], Losses]


def cross_entropy(logits: Logits, targets: Targets) -> Losses:
    """Returns the softmax cross entropy, in nats."""
    return optax.softmax_cross_entropy(logits, targets)


def binary_cross_entropy(
    logits: Logits, targets: Targets, *, sum_classes: bool = False
) -> Losses:
    """Returns the sigmoid cross entropy of the classes, in nats.

    Each class is a problem of its own: the image has the class, or does not have it
    (Wightman et al. 2021, "ResNet strikes back").

    Args:
      logits: the network's outputs.
      targets: the targets.
      sum_classes: whether the losses of the classes are added. Otherwise the loss is
        their mean, as in timm.
    """
    losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    return losses.sum(-1) if sum_classes else losses.mean(-1)


def focal(logits: Logits, targets: Targets, *, gamma: NotNegative = 2.0) -> Losses:
    """Returns the focal loss of softmax probabilities p, in nats.

        loss = -sum over classes c of targets[c] (1 - p[c])^gamma log p[c]

    The loss gives little weight to examples that are already classified well (Lin et
    al. 2017, equation 4). With `gamma=0`, it is the cross entropy.

    Args:
      logits: the network's outputs.
      targets: the targets.
      gamma: the exponent; a larger exponent gives less weight to such examples.
    """
    logs = jax.nn.log_softmax(logits)
    # 1 - p is kept above 0, because some powers of 0 have no gradient.
    rest = -jnp.expm1(jnp.minimum(logs, -jnp.finfo(logs.dtype).eps))
    return -(targets * rest**gamma * logs).sum(-1)


LOSSES: Mapping[str, Callable[..., Losses]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "focal": focal,
}


def find(text: str, known: Mapping[str, Callable] = LOSSES) -> Callable:
    """Returns the loss of a config text, with its options.

    Args:
      text: a name in `known` or an import path, with or without options:
        "focal(gamma=1.5)".
      known: the built-in losses by name.

    Raises:
      UserError: the text cannot be parsed, the loss or an option is unknown, or the
        value of an option has a wrong type or is out of its range.
    """
    try:
        (call,) = calls.parsed(text)
    except ValueError:
        raise UserError(
            f"config.{KEY} has the text '{text}', which is no loss: write a name with "
            "or without options, such as 'focal(gamma=1.5)'."
        ) from None
    return _made(call, known)


def find_all(text: str, known: Mapping[str, Callable]) -> list[Callable]:
    """Returns the losses of a config text with commas, whose sum is the loss.

    Args:
      text: one or more losses, each as in `find`: "focal(gamma=1.5), dice".
      known: the built-in losses by name.

    Raises:
      UserError: see `find`.
    """
    try:
        listed = calls.parsed(text)
    except ValueError:
        listed = []
    if not listed:
        raise UserError(
            f"config.{KEY} has the text '{text}', which is no list of losses: write "
            "names with or without options, such as 'cross_entropy, dice'."
        )
    return [_made(call, known) for call in listed]


def _made(call: calls.Call, known: Mapping[str, Callable]) -> Callable:
    """Returns a loss with its options."""
    loss = imports.find(
        "loss", call.name, known, accepts=inspect.isfunction, wanted="a function"
    )
    checked = calls.checked(KEY, "loss", call.name, call.options, loss)
    return functools.partial(loss, **checked) if checked else loss
