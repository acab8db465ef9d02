"""Where a network subsamples, and where it dilates instead.

A network for classification makes its maps smaller step by step. To keep them at an
`output_stride`, the steps beyond it take stride 1, and all layers behind such a step
have their windows spread by the stride that was left out (Chen et al. 2017,
"Rethinking Atrous Convolution", section 3.1; torchvision's
`replace_stride_with_dilation`). With the same weights, the larger map then holds the
smaller one's values at every second (fourth, ...) pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.layers import arithmetic
from cnn_jax.layers.windows import Size, per_dimension


@dataclass(frozen=True)
class Step:
    """One subsampling layer of a network; each entry is for one dimension.

    Attributes:
      strides: that it takes: 1 where it dilates instead.
      skipped: that it would take: 1 where it strides.
      before: dilation of the layers before it, and its own.
      after: dilation of the layers behind it.
    """

    strides: tuple[int, ...] = (1, 1)
    skipped: tuple[int, ...] = (1, 1)
    before: tuple[int, ...] = (1, 1)

    @property
    def after(self) -> tuple[int, ...]:
        return tuple(b * s for b, s in zip(self.before, self.skipped, strict=True))

    def rest(self) -> "Step":
        """That of the layers behind, none of which subsamples."""
        ones = (1,) * len(self.before)
        return Step(ones, ones, self.after)

    def padding(self, padding: Size) -> tuple[int, ...]:
        """`padding` of a layer of this step, spread as far as its window."""
        sizes = per_dimension(padding, len(self.before))
        return tuple(p * d for p, d in zip(sizes, self.before, strict=True))


def plan(
    strides: Sequence[Size], output_stride: int | None = None, rank: int = 2
) -> list[Step]:
    """The steps of a network whose subsampling layers have these strides, in order.

    A stride is an integer or, over `rank` dimensions, a tuple, whose last entry is
    the one that counts towards `output_stride`; None lets every layer stride.
    """
    ones = (1,) * rank
    total, before, steps = 1, ones, []
    for stride in strides:
        stride = per_dimension(stride, rank)
        if output_stride is not None and total * stride[-1] > output_stride:
            step = Step(ones, stride, before)
        else:
            step = Step(stride, ones, before)
            total *= stride[-1]
        steps.append(step)
        before = step.after
    return steps


def pool(
    kind: type[nn.Module],
    x: Float[Array, "batch *space channels"],
    window: Size,
    step: Step,
    *,
    padding: Size = 0,
    ceil_mode: bool = False,
    name: str | None = None,
    **attributes,
) -> Float[Array, "batch *out channels"]:
    """A pooling layer of a step: `kind` is `layers.MaxPool` or one of its like.

    Where it dilates, values are added at the end so that the map keeps its size as
    far as the strided one reaches: 2x2 windows would otherwise lose a row each time.
    """
    rank = len(step.strides)
    window, ends = per_dimension(window, rank), []
    geometry = zip(
        x.shape[1:-1],
        window,
        per_dimension(padding, rank),
        step.skipped,
        step.before,
        strict=True,
    )
    for size, kernel, zeros, skipped, dilation in geometry:
        end = zeros * dilation
        if skipped > 1:
            outputs = arithmetic.output_size(
                math.ceil(size / dilation),
                kernel,
                stride=skipped,
                padding=zeros,
                ceil_mode=ceil_mode,
            )
            reached = size + 2 * end - dilation * (kernel - 1)
            end += max(min(size, outputs * skipped * dilation) - reached, 0)
        ends.append((zeros * dilation, end))
    return kind(
        window,
        step.strides,
        padding=tuple(ends),
        dilation=step.before,
        # Where it dilates, `ends` reaches as far as a last window would.
        ceil_mode=ceil_mode and math.prod(step.skipped) == 1,
        name=name,
        **attributes,
    )(x)
