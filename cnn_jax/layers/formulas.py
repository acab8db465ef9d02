"""The formulas of parameters and output sizes, as text.

The wording follows textbooks: "96 filters of 11x11, stride 4, padding 0; (11*11*3*96) +
96 = 34,944; (224 - 11 + 2*0)/4 + 1 = 54", where the division rounds down. Attributes
that differ from the default are named: groups, dilation, ceil mode, and padding that
differs between the ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cnn_jax.layers import arithmetic
from cnn_jax.layers.windows import Padding, Size, explicit


class Dimension(NamedTuple):
    """How a window moves along one dimension of an input of `size`."""

    size: int
    window: int
    stride: int
    padding: tuple[int, int]
    dilation: int
    ceil_mode: bool


def geometry(
    space: Sequence[int],
    window: Size,
    strides: Size,
    padding: Padding,
    dilation: Size,
    ceil_mode: bool = False,
) -> list[Dimension]:
    """Returns how a window moves along each dimension of an input.

    Args:
      space: the spatial size of the input.
      window, strides, padding, dilation, ceil_mode: see `layers.max_pool`.
    """
    parts = explicit(space, window, strides, padding, dilation)
    return [
        Dimension(n, f, s, pair, d, ceil_mode)
        for n, f, s, pair, d in zip(space, *parts, strict=True)
    ]


def by(sizes: Sequence[int | str], sign: str = "x") -> str:
    """Returns sizes as text, joined by `sign`: "3x3"."""
    return sign.join(map(str, sizes))


def uniform(sizes: Sequence[int]) -> str:
    """Returns sizes as text: one number if all sizes are equal, else "3x5"."""
    return str(sizes[0]) if len(set(sizes)) == 1 else by(sizes)


def zeros(pairs: Sequence[tuple[int, int]]) -> str:
    """Returns the padding as text.

    The text has one number for each dimension if both ends are padded equally, else a
    pair. If all dimensions are equal, the text has only one of them.
    """
    if all(before == after for before, after in pairs):
        return uniform([before for before, _ in pairs])
    pairs = pairs[:1] if len(set(pairs)) == 1 else pairs
    return by([f"({before}, {after})" for before, after in pairs])


def attributes(dimensions: Sequence[Dimension], *, padding: bool) -> str:
    """Returns stride, padding, dilation and ceil mode as text.

    Dilation and ceil mode are named only if they are not the default.

    Args:
      padding: name the padding also if it is zero.
    """
    _, _, strides, pairs, dilation, ceil_mode = zip(*dimensions, strict=True)
    words = [f"stride {uniform(strides)}"]
    if padding or any(map(any, pairs)):
        words.append(f"padding {zeros(pairs)}")
    if max(dilation) > 1:
        words.append(f"dilation {uniform(dilation)}")
    if any(ceil_mode):
        words.append("ceil mode")
    return ", ".join(words)


def sizes(dimensions: Sequence[Dimension]) -> str:
    """Returns the formulas of the output size: "(n - f + 2*p)/s + 1 = m".

    Equal dimensions share one formula.
    """
    formulas = []
    for n, f, s, (before, after), d, ceil_mode in dict.fromkeys(dimensions):
        extent = str(f) if d == 1 else f"({d}*({f} - 1) + 1)"
        padding = f"2*{before}" if before == after else f"{before} + {after}"
        division = f"({n} - {extent} + {padding})/{s}"
        size = arithmetic.output_size(
            n, f, stride=s, padding=(before, after), dilation=d, ceil_mode=ceil_mode
        )
        if ceil_mode:
            division = f"ceil({division})"
            room = n - d * (f - 1) - 1 + before + after
            if -(-room // s) + 1 > size:  # a last window would see padding alone
                division += " - 1"
        formulas.append(f"{division} + 1 = {size}")
    return ", ".join(formulas)


def weights(factors: Sequence[int | str], bias: int, total: int) -> str:
    """Returns the formula of the parameters: "(3*3*64*128) + 128 = 73,856".

    Args:
      factors: the factors of the number of weights.
      bias: the number of biases.
      total: the number of parameters.
    """
    product = by(factors, "*")
    formula = f"({product}) + {bias}" if bias else product
    return f"{formula} = {total:,}"
