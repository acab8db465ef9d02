"""Arithmetic of receptive fields along one spatial dimension of a network's input.

An `Extent` describes the receptive fields of all values of an array. Its methods return
the extent of the array that an operation makes from this array.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

from cnn_jax.layers.arithmetic import ReceptiveField


@dataclass(frozen=True)
class Extent:
    """The receptive fields of an array's values, along one dimension of the input.

    Attributes:
      phases: a periodic list of `ReceptiveField`s. With n phases, the value at position
        i along `axis` has the field that phase i % n gives to its output i // n. One
        phase is enough after convolution and pooling. After upsampling, neighboring
        positions have different phases. A phase of None means that the values do not
        depend on the input.
      axis: the axis of the array along which the field moves; None if all values have
        the same field. Then there is one phase, and its output 0 has this field.
      size: the number of input positions along the dimension.
      whole: whether each value depends on the whole dimension. Then `phases` only say
        which part of the input a position corresponds to.
      merged: (n, m) if the axis was made by merging several dimensions, as in a matrix
        with one row per pixel: index j of the axis has position j // m % n. None if the
        axis holds a single dimension.
    """

    phases: tuple[ReceptiveField | None, ...]
    axis: int | None
    size: int
    whole: bool = False
    merged: tuple[int, int] | None = None

    def at(self, position: int) -> ReceptiveField | None:
        """Returns the field of the value at `position` along the axis.

        The result describes this field as the field of its output 0. Returns None if
        the value does not depend on the input.
        """
        turn, phase = divmod(position, len(self.phases))
        field = self.phases[phase]
        return field and field.through(1, padding=-turn)

    @property
    def stride(self) -> Fraction | None:
        """The distance in input positions between the fields of neighboring values.

        None if all values have the same field.
        """
        strides = [field.stride for field in self.phases if field]
        if self.axis is None or not strides:
            return None
        return Fraction(strides[0], len(self.phases))

    @property
    def receptive_field(self) -> int:
        """The number of input positions in the largest field of any value."""
        if self.whole:
            return self.size
        return max((field.size for field in self.phases if field), default=0)

    @property
    def offset(self) -> int:
        """The first input position that the output at position 0 depends on."""
        return 0 if self.whole or not self.phases[0] else self.phases[0].start

    def window(
        self,
        kernel_size: int = 1,
        stride: int = 1,
        before: int = 0,
        dilation: int = 1,
        axis: int | None = None,
    ) -> "Extent":
        """Returns the extent after a convolution or pooling with sliding windows.

        Output i depends on the positions i s - p + d t, for t from 0 to f - 1, where s
        is the stride, p the padding, d the dilation and f the kernel size.

        Args:
          kernel_size: f, the number of positions in a window.
          stride: s.
          before: p, the padding before the first position.
          dilation: d.
          axis: the axis of the output along which windows move; None keeps the axis.
        """
        axis = self.axis if axis is None else axis
        old = len(self.phases)
        if old == 1 and self.phases[0]:
            field = self.phases[0].through(kernel_size, stride, before, dilation)
            return replace(self, phases=(field,), axis=axis)
        new = old // math.gcd(old, stride)
        phases: list[ReceptiveField | None] = []
        for i in range(new):
            positions = [i * stride - before + dilation * t for t in range(kernel_size)]
            seen = union(map(self.at, positions))
            phases.append(
                seen and replace(seen, stride=seen.stride * (new * stride // old))
            )
        return replace(self, phases=simplest(phases), axis=axis)

    def interpolated(self, before: int, after: int) -> "Extent":
        """Returns the extent after linear interpolation along the axis.

        Args:
          before: the number of positions before the interpolation.
          after: the number of positions after the interpolation.
        """
        if before == after:
            return self
        common, old = math.gcd(before, after), len(self.phases)
        before, after = before // common, after // common
        # After this many turns, the phases and the places between values repeat
        # together.
        turns = old // math.gcd(old, before)
        phases = []
        for i in range(after * turns):
            # The place (i + 1/2) before / after - 1/2, and whether it lies between two
            # values.
            low, rest = divmod((2 * i + 1) * before - after, 2 * after)
            field = union([self.at(low), self.at(low + 1) if rest else None])
            stride = before * turns // old
            phases.append(field and replace(field, stride=field.stride * stride))
        return replace(self, phases=simplest(phases))

    def repeated(self, times: int, axis: int) -> "Extent":
        """Returns the extent after each position is repeated `times` times.

        `axis` is the axis of the new array along which the field moves.
        """
        if times == 1:
            return replace(self, axis=axis)
        phases = [field for field in self.phases for _ in range(times)]
        return replace(self, phases=simplest(phases), axis=axis)

    def dilated(self, by: int) -> "Extent":
        """Returns the extent after constants are inserted between the positions.

        `by` - 1 constants follow each position.
        """
        phases = []
        for field in self.phases:
            phases += [field, *(None,) * (by - 1)]
        return replace(self, phases=tuple(phases))

    def gathered(self, positions: int) -> "Extent":
        """Returns the extent of values that depend on all positions of the axis.

        `positions` is the number of positions, unless the axis is merged.
        """
        if self.axis is None:
            return self
        if self.merged:
            positions, _ = self.merged
        fields = map(self.at, range(positions))
        return everywhere(union(fields), self.size, self.whole)


def union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """Returns the smallest field that contains all given fields.

    Fields of None are ignored. The result is None if no field is left.
    """
    seen = [field for field in fields if field]
    return reduce(ReceptiveField.union, seen) if seen else None


def simplest(
    phases: Sequence[ReceptiveField | None],
) -> tuple[ReceptiveField | None, ...]:
    """Returns an equivalent list of phases with a single phase, if possible.

    This is possible if each phase is the previous phase, shifted by a constant step.
    Otherwise the phases are returned unchanged.
    """
    seen, n = [field for field in phases if field], len(phases)
    if n == 1 or len(seen) < n or seen[0].stride % n:
        return tuple(phases)
    field = replace(seen[0], stride=seen[0].stride // n)
    moved = [field.through(1, padding=-i) for i in range(n)]
    same = all(
        (a.start, a.end) == (b.start, b.end) for a, b in zip(moved, seen, strict=True)
    )
    return (field,) if same else tuple(phases)


def everywhere(field: ReceptiveField | None, size: int, whole: bool = False) -> Extent:
    """Returns the extent of values that all have the same field.

    Args:
      field: the field.
      size: the number of input positions along the dimension.
      whole: whether the values depend on the whole dimension.
    """
    if whole or (field and field.start <= 0 and field.end >= size - 1):
        return Extent((ReceptiveField(1, 0, size - 1),), None, size, True)
    return Extent((field and replace(field, stride=1),), None, size)


def join(extents: Sequence[Extent]) -> Extent:
    """Returns the extent after an elementwise operation on several arrays.

    Args:
      extents: the extent of each array.
    """
    first = extents[0]
    if all(extent == first for extent in extents):
        return first
    whole = any(extent.whole for extent in extents)
    moving = [extent for extent in extents if extent.axis is not None]
    if not moving:
        return everywhere(union(e.phases[0] for e in extents), first.size, whole)
    places = {(extent.axis, extent.merged) for extent in moving}
    if len(places) > 1:
        return everywhere(None, first.size, True)
    # If a field does not move, or if strides differ, fields reach any distance from a
    # position.
    strides = {extent.stride for extent in moving} - {None}
    if whole or len(moving) < len(extents) or len(strides) > 1:
        return replace(moving[0], whole=True)
    n = math.lcm(*(len(extent.phases) for extent in moving))

    def phase(i):
        fields = [(extent.at(i), n // len(extent.phases)) for extent in moving]
        return union(
            field and replace(field, stride=field.stride * turns)
            for field, turns in fields
        )

    return replace(first, phases=simplest([phase(i) for i in range(n)]))
