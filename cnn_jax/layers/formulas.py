"""The formulas of parameters and output sizes, as text.

The wording is that of textbooks: "96 filters of 11x11, stride 4, padding 0;
(11*11*3*96) + 96 = 34,944; (224 - 11 + 2*0)/4 + 1 = 54", where the division rounds
down. Attributes that differ from the default are named: groups, dilation, ceil mode,
padding that is not the same at both ends.
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
    """How a window moves along each dimension of an input of `space`."""
    parts = explicit(space, window, strides, padding, dilation)
    return [
        Dimension(n, f, s, pair, d, ceil_mode)
        for n, f, s, pair, d in zip(space, *parts, strict=True)
    ]


def by(sizes: Sequence[int | str], sign: str = "x") -> str:
    """3x3."""
    return sign.join(map(str, sizes))


def uniform(sizes: Sequence[int]) -> str:
    """One number where all dimensions have the same."""
    return str(sizes[0]) if len(set(sizes)) == 1 else by(sizes)


def zeros(pairs: Sequence[tuple[int, int]]) -> str:
    """The padding: one number where both ends have the same."""
    if all(before == after for before, after in pairs):
        return uniform([before for before, _ in pairs])
    pairs = pairs[:1] if len(set(pairs)) == 1 else pairs
    return by([f"({before}, {after})" for before, after in pairs])


def attributes(dimensions: Sequence[Dimension], *, padding: bool) -> str:
    """The stride; padding (where there is some, or `padding`), dilation, ceil mode."""
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
    """(n - f + 2*p)/s + 1 = m, once for all dimensions of which it is the same."""
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
    """(3*3*64*128) + 128 = 73,856."""
    product = by(factors, "*")
    formula = f"({product}) + {bias}" if bias else product
    return f"{formula} = {total:,}"
