"""Checks of the options of augmentations."""

from cnn_jax.core.errors import UserError


def check_pair(name: str, ends: tuple[float, ...]) -> None:
    """Raises `UserError` unless an option has two numbers in ascending order.

    Args:
      name: the name of the option.
      ends: the value of the option.
    """
    if len(ends) != 2 or ends[0] > ends[1]:
        raise UserError(
            f"{name}={ends} must be two numbers, the smallest and the largest value."
        )
