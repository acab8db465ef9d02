"""What the values of an array see of a network's input, and how that combines."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

from cnn_jax.layers.arithmetic import ReceptiveField


@dataclass(frozen=True)
class Extent:
    """What the values of an array see of one dimension of the input.

    Attributes:
      phases: the field of the value at position i along `axis` is that of output
        i // n of phase i % n, for n phases. Convolution and pooling need one; where
        maps grow, neighbors differ. None is a phase that sees nothing.
      axis: of the array, along which the field moves; None is an array whose values
        all see output 0 of the only phase.
      size: of the whole dimension of the input.
      whole: the values see all of it; `phases` then only say how positions lie.
      merged: (n, m) where the axis holds several dimensions, as in a matrix of pixels:
        index j stands for position j // m % n.
    """

    phases: tuple[ReceptiveField | None, ...]
    axis: int | None
    size: int
    whole: bool = False
    merged: tuple[int, int] | None = None

    def at(self, position: int) -> ReceptiveField | None:
        """The field of the value at `position`, as that of output 0."""
        turn, phase = divmod(position, len(self.phases))
        field = self.phases[phase]
        return field and field.through(1, padding=-turn)

    @property
    def stride(self) -> Fraction | None:
        """Input values from one position to the next; None: all see the same."""
        strides = [field.stride for field in self.phases if field]
        if self.axis is None or not strides:
            return None
        return Fraction(strides[0], len(self.phases))

    @property
    def receptive_field(self) -> int:
        """Input values that one value sees, the most of all phases."""
        if self.whole:
            return self.size
        return max((field.size for field in self.phases if field), default=0)

    @property
    def offset(self) -> int:
        """The first input value that the value at position 0 sees."""
        return 0 if self.whole or not self.phases[0] else self.phases[0].start

    def window(
        self,
        kernel_size: int = 1,
        stride: int = 1,
        before: int = 0,
        dilation: int = 1,
        axis: int | None = None,
    ) -> "Extent":
        """That of windows over this one's positions, along `axis` of the new array.

        Window i covers positions i s - before + d t, t from 0 to f - 1.
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
        """That of `after` values, each linear in its two neighbors of `before`."""
        if before == after:
            return self
        common, old = math.gcd(before, after), len(self.phases)
        before, after = before // common, after // common
        # Where the phases of this one and the places between its values repeat.
        turns = old // math.gcd(old, before)
        phases = []
        for i in range(after * turns):
            # (i + 1/2) before / after - 1/2, and whether that is a value's own place.
            low, rest = divmod((2 * i + 1) * before - after, 2 * after)
            field = union([self.at(low), self.at(low + 1) if rest else None])
            stride = before * turns // old
            phases.append(field and replace(field, stride=field.stride * stride))
        return replace(self, phases=simplest(phases))

    def repeated(self, times: int, axis: int) -> "Extent":
        """That of an array with each position `times` times in a row."""
        if times == 1:
            return replace(self, axis=axis)
        phases = [field for field in self.phases for _ in range(times)]
        return replace(self, phases=simplest(phases), axis=axis)

    def dilated(self, by: int) -> "Extent":
        """That of an array with `by` - 1 constants between any two positions."""
        phases = []
        for field in self.phases:
            phases += [field, *(None,) * (by - 1)]
        return replace(self, phases=tuple(phases))

    def gathered(self, positions: int) -> "Extent":
        """That of values which depend on all `positions` of the axis."""
        if self.axis is None:
            return self
        if self.merged:
            positions, _ = self.merged
        fields = map(self.at, range(positions))
        return everywhere(union(fields), self.size, self.whole)


def union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """Returns the smallest field that holds all of them; None without any."""
    seen = [field for field in fields if field]
    return reduce(ReceptiveField.union, seen) if seen else None


def simplest(
    phases: Sequence[ReceptiveField | None],
) -> tuple[ReceptiveField | None, ...]:
    """One phase where each is the one before it, moved on by the same step."""
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
    """That of values which all see `field`."""
    if whole or (field and field.start <= 0 and field.end >= size - 1):
        return Extent((ReceptiveField(1, 0, size - 1),), None, size, True)
    return Extent((field and replace(field, stride=1),), None, size)


def join(extents: Sequence[Extent]) -> Extent:
    """That of values computed from values of all these arrays at the same place."""
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
    # A field that stays, or strides that differ, reach any distance from a position.
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
