"""How a window moves over an input: what users write, made explicit.

Convolution and pooling share it. A size that is one integer holds for every
dimension in space; padding may be written in the five ways of `Padding`.
"""

from collections.abc import Sequence

from cnn_jax.errors import UserError, unknown
from cnn_jax.layers import arithmetic

# One integer for all dimensions, or one a dimension.
Size = int | Sequence[int]
# Zeros at both ends: an integer, an integer a dimension, a pair (before, after) a
# dimension, "VALID" (none) or "SAME" (output size ceil(n / stride), an odd zero at
# the end, as in TensorFlow).
Padding = int | Sequence[int] | Sequence[Sequence[int]] | str
Pairs = tuple[tuple[int, int], ...]


def per_dimension(value: Size, rank: int) -> tuple[int, ...]:
    """`value` for each of `rank` dimensions.

    Raises:
      ValueError: a sequence of another length.
    """
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"{values} has {len(values)} entries, the input needs {rank}")
    return values


def explicit_padding(
    padding: Padding,
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    where: str,
) -> Pairs:
    """The zeros (before, after) along each dimension of an input of `sizes`.

    `where` names the layer in error messages.

    Raises:
      UserError: unknown name, or the window does not fit the padded input.
      ValueError: one entry too many or too few.
    """
    rank = len(sizes)
    geometry = list(zip(sizes, window, strides, dilation, strict=True))
    if padding == "SAME":
        pairs = tuple(_same(*entry) for entry in geometry)
    elif padding == "VALID":
        pairs = ((0, 0),) * rank
    elif isinstance(padding, str):
        raise unknown("padding", padding, ("SAME", "VALID"))
    else:
        entries = (padding,) * rank if isinstance(padding, int) else tuple(padding)
        pairs = tuple((e, e) if isinstance(e, int) else tuple(e) for e in entries)
    for (size, kernel, stride, dilated), pair in zip(geometry, pairs, strict=True):
        try:
            arithmetic.output_size(
                size, kernel, stride=stride, padding=pair, dilation=dilated
            )
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return pairs


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2
