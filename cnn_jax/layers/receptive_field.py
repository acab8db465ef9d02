"""Which input values an output of a chain of layers sees, along one dimension.

`arithmetic` has these names too, among the other formulas of layers.
"""

from collections.abc import Iterable
from dataclasses import dataclass


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> int:
    """Input values along one dimension that one output of a chain of layers sees.

        r = 1 + sum over l of (f_l - 1) d_l s_1 ... s_(l-1)

    `layers` are (kernel size, stride, dilation), the first layer first. Dumoulin and
    Visin 2016, "A guide to convolution arithmetic"; Araujo et al. 2019, "Computing
    Receptive Fields of Convolutional Neural Networks".
    """
    size, jump = 1, 1
    for kernel_size, stride, dilation in layers:
        size += (kernel_size - 1) * dilation * jump
        jump *= stride
    return size


@dataclass(frozen=True)
class ReceptiveField:
    """Which input values reach which outputs, along one dimension.

    Output i depends on inputs from i * stride + start to i * stride + end; those below
    0 and behind the last one are padding. The default is that of the input itself.
    """

    stride: int = 1
    start: int = 0
    end: int = 0

    @property
    def size(self) -> int:
        """Inputs that one output sees, with padding."""
        return self.end - self.start + 1

    def through(
        self,
        kernel_size: int,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
    ) -> "ReceptiveField":
        """That of the output of a convolution or pooling over this one's outputs.

        Window i covers outputs i s - p to i s - p + d(f - 1); of a pair only the
        padding before matters.
        """
        before = padding if isinstance(padding, int) else padding[0]
        reach = dilation * (kernel_size - 1)
        return ReceptiveField(
            self.stride * stride,
            self.start - before * self.stride,
            self.end + (reach - before) * self.stride,
        )

    def union(self, other: "ReceptiveField") -> "ReceptiveField":
        """That of the sum or concatenation of two branches.

        Raises:
          ValueError: their strides differ, so that their outputs do not face.
        """
        if self.stride != other.stride:
            raise ValueError(
                f"branches of strides {self.stride} and {other.stride} cannot be joined"
            )
        return ReceptiveField(
            self.stride, min(self.start, other.start), max(self.end, other.end)
        )
