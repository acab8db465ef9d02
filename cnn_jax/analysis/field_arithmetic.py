"""Arithmetic of receptive fields along one dimension of a network's input."""

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
      phases: with n phases, the field of the value at position i along `axis` is the
        field of output i // n of phase i % n. Convolution and pooling need one phase.
        After upsampling, neighbors have different phases. None is a phase whose values
        do not depend on the input.
      axis: the array's axis along which the field moves; None if all values have the
        field of output 0 of the only phase.
      size: the size of the input's whole dimension.
      whole: whether the values depend on the whole dimension; `phases` then only relate
        positions to the input.
      merged: (n, m) if the axis holds several dimensions, as in a matrix of pixels:
        index j stands for position j // m % n.
    """

    phases: tuple[ReceptiveField | None, ...]
    axis: int | None
    size: int
    whole: bool = False
    merged: tuple[int, int] | None = None

    def at(self, position: int) -> ReceptiveField | None:
        """Returns the field of the value at `position`, in the form of output 0."""
        turn, phase = divmod(position, len(self.phases))
        field = self.phases[phase]
        return field and field.through(1, padding=-turn)

    @property
    def stride(self) -> Fraction | None:
        """Input values from one position to the next; None if they share one field."""
        strides = [field.stride for field in self.phases if field]
        if self.axis is None or not strides:
            return None
        return Fraction(strides[0], len(self.phases))

    @property
    def receptive_field(self) -> int:
        """The number of input values in the largest field of all phases."""
        if self.whole:
            return self.size
        return max((field.size for field in self.phases if field), default=0)

    @property
    def offset(self) -> int:
        """The first input value in the field of position 0."""
        return 0 if self.whole or not self.phases[0] else self.phases[0].start

    def window(
        self,
        kernel_size: int = 1,
        stride: int = 1,
        before: int = 0,
        dilation: int = 1,
        axis: int | None = None,
    ) -> "Extent":
        """Returns the extent of windows over the positions, along a new array's `axis`.

        Window i covers positions i s - before + d t, for t from 0 to f - 1, where s is
        the stride, d the dilation and f the kernel size.
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
        """Returns the extent of `after` values, linearly interpolated from `before`."""
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
        """Returns the extent of an array with each position repeated `times` times."""
        if times == 1:
            return replace(self, axis=axis)
        phases = [field for field in self.phases for _ in range(times)]
        return replace(self, phases=simplest(phases), axis=axis)

    def dilated(self, by: int) -> "Extent":
        """Returns the extent with `by` - 1 constants between any two positions."""
        phases = []
        for field in self.phases:
            phases += [field, *(None,) * (by - 1)]
        return replace(self, phases=tuple(phases))

    def gathered(self, positions: int) -> "Extent":
        """Returns the extent of values that depend on all `positions` of the axis."""
        if self.axis is None:
            return self
        if self.merged:
            positions, _ = self.merged
        fields = map(self.at, range(positions))
        return everywhere(union(fields), self.size, self.whole)


def union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """Returns the smallest field that contains all fields; None if there are none."""
    seen = [field for field in fields if field]
    return reduce(ReceptiveField.union, seen) if seen else None


def simplest(
    phases: Sequence[ReceptiveField | None],
) -> tuple[ReceptiveField | None, ...]:
    """Returns one phase if each phase is the previous one, shifted by the same step."""
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
    """Returns the extent of values that all have the same `field`."""
    if whole or (field and field.start <= 0 and field.end >= size - 1):
        return Extent((ReceptiveField(1, 0, size - 1),), None, size, True)
    return Extent((field and replace(field, stride=1),), None, size)


def join(extents: Sequence[Extent]) -> Extent:
    """Returns the extent of values that combine these arrays at the same position."""
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
