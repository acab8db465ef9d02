"""Output strides: where a network subsamples, and where it dilates instead.

A network for classification reduces its feature maps step by step. To keep an
`output_stride`, later steps take stride 1, and all layers after such a step get the
skipped stride as an additional dilation (Chen et al. 2017, "Rethinking Atrous
Convolution", section 3.1; torchvision's `replace_stride_with_dilation`). With the same
weights, the larger map holds the values of the smaller map at every second (fourth,
...) pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.layers import AvgPool, arithmetic
from cnn_jax.layers.windows import Size, per_dimension


@dataclass(frozen=True)
class Step:
    """One subsampling layer of a network; each entry is for one dimension.

    Attributes:
      strides: the strides that the layer takes; 1 if it dilates instead.
      skipped: the strides that dilation replaces; 1 if the layer strides.
      before: dilation of the layer itself, and of the layers between the previous
        subsampling layer and this layer.
      after: dilation of the layers after it.
    """

    strides: tuple[int, ...] = (1, 1)
    skipped: tuple[int, ...] = (1, 1)
    before: tuple[int, ...] = (1, 1)

    @property
    def after(self) -> tuple[int, ...]:
        return tuple(b * s for b, s in zip(self.before, self.skipped, strict=True))

    def rest(self) -> "Step":
        """Returns the step of the following layers, which do not subsample."""
        ones = (1,) * len(self.before)
        return Step(ones, ones, self.after)

    def padding(self, padding: Size) -> tuple[int, ...]:
        """Returns the `padding` of a layer of this step, scaled by its dilation."""
        sizes = per_dimension(padding, len(self.before))
        return tuple(p * d for p, d in zip(sizes, self.before, strict=True))


def plan(
    strides: Sequence[Size], output_stride: int | None = None, rank: int = 2
) -> list[Step]:
    """Returns the steps of a network whose subsampling layers have these strides.

    A stride is an integer, or a tuple over `rank` dimensions. The last entry of a tuple
    counts towards `output_stride`. If `output_stride` is None, no layer dilates.
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
    """Applies a pooling layer of a step; `kind` is `layers.MaxPool` or similar.

    If the network dilates, the window may reach beyond the end of the input. So the map
    has a value for each value of the strided network, and keeps the input's size as far
    as the strided network's map reaches. Otherwise 2x2 windows would lose a row each
    time. If the windows divide the input evenly, the size of the map is the size of the
    input divided by the output stride.
    """
    rank = len(step.strides)
    window, zeros = per_dimension(window, rank), per_dimension(padding, rank)
    make = partial(kind, window=window, strides=step.strides, name=name)
    if math.prod(step.after) == 1:
        return make(padding=zeros, ceil_mode=ceil_mode, **attributes)(x)

    given, beyond = [], []
    for size, kernel, p, taken, skipped, d in zip(
        x.shape[1:-1],
        window,
        zeros,
        step.strides,
        step.skipped,
        step.before,
        strict=True,
    ):
        # Every `each`-th value belongs to the strided network, which has `outputs`.
        each, stride = d * skipped, taken * skipped
        outputs = arithmetic.output_size(
            math.ceil(size / d), kernel, stride=stride, padding=p, ceil_mode=ceil_mode
        )
        least, most = (outputs - 1) * each + 1, outputs * each
        kept = math.ceil(size / taken) if stride > 1 else least
        last = (min(max(kept, least), most) - 1) * taken
        given.append((p * d, p * d))
        beyond.append((0, max(last + d * (kernel - 1) + 1 - size - 2 * p * d, 0)))
    if issubclass(kind, AvgPool) and attributes.get("count_include_pad", True):
        # Zeros of the padding count in the mean; zeros beyond the padding do not.
        x = jnp.pad(x, [(0, 0), *given, (0, 0)])
        attributes["count_include_pad"] = False
    else:
        beyond = [(p, p + end) for (p, _), (_, end) in zip(given, beyond, strict=True)]
    return make(padding=tuple(beyond), dilation=step.before, **attributes)(x)
