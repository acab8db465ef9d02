"""The geometry of windows: makes sizes, strides and padding of users explicit.

Convolution and pooling share these functions. One integer is a size for all spatial
dimensions; padding can be written in the five ways of `Padding`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.kernels.windows import Pairs
from cnn_jax.layers import arithmetic
from cnn_jax.layers.naming import named

Integer = int | np.integer
# One integer for all dimensions, or one for each dimension.
Size = Integer | Sequence[Integer]
# Zeros at both ends: an integer, an integer or a pair (before, after) for each
# dimension, "VALID" (none), or "SAME" (output size ceil(n / stride), an odd zero at the
# end, as in TensorFlow).
Padding = Size | Sequence[Sequence[Integer]] | str


def per_dimension(
    value: Size, rank: int, name: str = "size", *, least: int = 0
) -> tuple[int, ...]:
    """Returns `value` for each of `rank` dimensions.

    Args:
      value: one integer for all dimensions, or a sequence with one for each.
      name: the name of the value in error messages.
      least: the least valid integer.

    Raises:
      UserError: a sequence has another length, or an entry is not an integer of at
        least `least`.
    """
    values = _entries(value, rank, name)
    if not all(isinstance(entry, Integer) and entry >= least for entry in values):
        raise UserError(
            f"{name}={value}: each number must be an integer of at least {least}."
        )
    return tuple(int(entry) for entry in values)


def explicit_padding(
    padding: Padding,
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    where: str = "",
) -> Pairs:
    """Returns the zeros (before, after) along each dimension of an input of `sizes`.

    Args:
      where: the name of the layer in error messages.

    Raises:
      UserError: the padding has an unknown name, a wrong number of entries or a
        negative entry, or the window does not fit the padded input.
    """
    rank = len(sizes)
    geometry = list(zip(sizes, window, strides, dilation, strict=True))
    with named(where):
        if padding == "SAME":
            pairs = tuple(
                arithmetic.same_padding(n, f, stride=s, dilation=d)
                for n, f, s, d in geometry
            )
        elif padding == "VALID":
            pairs = ((0, 0),) * rank
        elif isinstance(padding, str):
            raise unknown("padding", padding, ("SAME", "VALID"))
        else:
            entries = _entries(padding, rank, "padding")
            pairs = tuple(_pair(entry) for entry in entries)
        for (n, f, s, d), pair in zip(geometry, pairs, strict=True):
            arithmetic.output_size(n, f, stride=s, padding=pair, dilation=d)
    return pairs


def _pair(padding: Size) -> tuple[int, int]:
    """Returns the padding (before, after) of one dimension."""
    before, after = per_dimension(padding, 2, "padding")
    return before, after


def explicit(
    space: Sequence[int],
    window: Size,
    strides: Size,
    padding: Padding,
    dilation: Size,
    *,
    name: str = "kernel_size",
) -> tuple[tuple[int, ...], tuple[int, ...], Pairs, tuple[int, ...]]:
    """Returns window, strides, padding and dilation along each dimension of `space`.

    Args:
      name: the name of the window in error messages.

    Raises:
      UserError: as in `per_dimension` and `explicit_padding`.
    """
    rank = len(space)
    window = per_dimension(window, rank, name, least=1)
    strides = per_dimension(strides, rank, "strides", least=1)
    dilation = per_dimension(dilation, rank, "dilation", least=1)
    pairs = explicit_padding(padding, space, window, strides, dilation)
    return window, strides, pairs, dilation


def _entries(value: Any, count: int, name: str) -> tuple[Any, ...]:
    """Returns the entries of a sequence, or a single value `count` times."""
    entries = tuple(value) if isinstance(value, Iterable) else (value,) * count
    if len(entries) != count:
        raise UserError(
            f"{name}={value} has {len(entries)} entries where {count} are needed."
        )
    return entries
