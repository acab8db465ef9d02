"""Receptive fields: the input values that an output of a chain of layers sees.

All functions work along one dimension. `arithmetic` exports these names too.
"""

from collections.abc import Iterable
from dataclasses import dataclass


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> int:
    """Returns the number of input values, along one dimension, that one output sees.

        r = 1 + sum over l of (f_l - 1) d_l s_1 ... s_(l-1)

    `layers` holds (kernel size f_l, stride s_l, dilation d_l) of each layer l, in the
    order of the layers.
    Dumoulin and Visin 2016, "A guide to convolution arithmetic"; Araujo et al. 2019,
    "Computing Receptive Fields of Convolutional Neural Networks".
    """
    size, jump = 1, 1
    for kernel_size, stride, dilation in layers:
        size += (kernel_size - 1) * dilation * jump
        jump *= stride
    return size


@dataclass(frozen=True)
class ReceptiveField:
    """The input values that reach each output, along one dimension.

    Output i depends on the inputs from i * stride + start to i * stride + end. Inputs
    below 0 and after the last one are padding. The default is the input itself.
    """

    stride: int = 1
    start: int = 0
    end: int = 0

    @property
    def size(self) -> int:
        """The number of inputs that one output sees, including padding."""
        return self.end - self.start + 1

    def through(
        self,
        kernel_size: int,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
    ) -> "ReceptiveField":
        """Returns the receptive field of a convolution or pooling of these outputs.

        With kernel size f, stride s, padding p and dilation d, window i covers the
        outputs from i s - p to i s - p + d(f - 1). If `padding` is a pair (before,
        after), p is the padding before.
        """
        before = padding if isinstance(padding, int) else padding[0]
        reach = dilation * (kernel_size - 1)
        return ReceptiveField(
            self.stride * stride,
            self.start - before * self.stride,
            self.end + (reach - before) * self.stride,
        )

    def union(self, other: "ReceptiveField") -> "ReceptiveField":
        """Returns the receptive field of the sum or concatenation of two branches.

        Raises:
          ValueError: the strides of the branches differ, so their outputs do not match.
        """
        if self.stride != other.stride:
            raise ValueError(
                f"branches of strides {self.stride} and {other.stride} cannot be joined"
            )
        return ReceptiveField(
            self.stride, min(self.start, other.start), max(self.end, other.end)
        )
