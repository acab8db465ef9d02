"""Scales a value, such as the widths of a network, until its cost is close to a target.

The scaled values form a path, on which the cost grows with the position. A step on the
path is small: an integer grows by 1, a number by 0.1%, and in a tuple of integers one
entry grows by 1.
"""

import functools
import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Value = int | float | tuple[int, ...]
Amount = int | float  # of a cost
Cost = Callable[[Value], Amount]

TOLERANCE = 0.01  # the largest relative difference between equal costs
ENOUGH = TOLERANCE / 10  # the search for a value ends at this difference
FACTOR = 1.001  # of one step of a float
MOST = 1000  # the largest scale
SMALLEST = 1e-9  # replaces a cost of 0, which has no logarithm
JUMP = 16.0  # the largest change of the scale between two guesses, as a factor
PAIRED = 3  # entries of a tuple that are changed together
TRIALS = 16  # changed tuples whose cost is computed


@dataclass(frozen=True)
class Path:
    """The values that are proportional to a first value.

    Attributes:
      start: the first value, which has the scale 1.
    """

    start: Value

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last position on the path."""
        if isinstance(self.start, float):
            most = round(math.log(MOST) / math.log(FACTOR))
            return -most, most
        least = len(self.start) if isinstance(self.start, tuple) else 1
        return least, MOST * self._total

    @property
    def _total(self) -> int:
        """The sum of the first value's entries."""
        assert not isinstance(self.start, float)
        return sum(self.start) if isinstance(self.start, tuple) else self.start

    def scale(self, position: int) -> float:
        """Returns the scale of the value at a position."""
        if isinstance(self.start, float):
            return FACTOR**position
        return position / self._total

    def position(self, scale: float) -> int:
        """Returns the position whose scale is closest to `scale`."""
        if isinstance(self.start, float):
            return round(math.log(scale) / math.log(FACTOR))
        return round(scale * self._total)

    def value(self, position: int) -> Value:
        """Returns the value at a position.

        The position of a tuple is the sum of its entries. They are as proportional to
        the first value as integers of this sum can be (Webster's method of
        apportionment), and at least 1.
        """
        if isinstance(self.start, float):
            return float(f"{self.start * FACTOR**position:.4g}")
        if not isinstance(self.start, tuple):
            return position
        entries = [1] * len(self.start)
        # The entry that grows next has the smallest (entry + 1/2) / first entry.
        waiting = [(1.5 / first, i) for i, first in enumerate(self.start)]
        heapq.heapify(waiting)
        for _ in range(position - len(entries)):
            i = waiting[0][1]
            entries[i] += 1
            heapq.heapreplace(waiting, ((entries[i] + 0.5) / self.start[i], i))
        return tuple(entries)


def solve(
    cost: Cost, target: Amount, start: Value, *, measured: bool = False
) -> tuple[Value, Amount]:
    """Returns the value on the path of `start` whose cost is closest to a target.

    If a tuple's cost still differs by more than `TOLERANCE`, a few of its entries are
    changed by 1. Entries may then differ from proportional ones by less than 1, or by
    at most 10%.

    Args:
      cost: a function that returns the cost of a value; the cost grows with the value.
      target: the cost to reach, above 0.
      start: the first value; its entries are above 0.
      measured: whether the cost is measured, with noise. Then the search ends at a
        difference of `TOLERANCE`, and single entries of a tuple are not changed.

    Returns:
      The value, and its cost.
    """
    path, cost = Path(start), functools.cache(cost)
    tried = _search(cost, target, path, TOLERANCE if measured else ENOUGH)
    best = min(tried, key=lambda i: (abs(tried[i] - target), i))
    value, found = path.value(best), tried[best]
    if isinstance(value, tuple) and not measured and not near(found, target):
        assert isinstance(start, tuple)
        return _adjusted(cost, target, start, value, found)
    return value, found


def near(cost: Amount, target: Amount, tolerance: float = TOLERANCE) -> bool:
    """Returns whether a cost differs from a target by at most the tolerance."""
    return abs(cost - target) <= tolerance * target


def _search(cost: Cost, target: Amount, path: Path, enough: float) -> dict[int, Amount]:
    """Returns the cost at each tried position of a path.

    The search ends at a cost whose relative difference from the target is `enough`.

    The next guess assumes that the cost is a power of the scale, with the exponent from
    the last two guesses. Costs may also grow in stairs. Therefore a guess halves the
    rest of the path if the last two guesses were on the same side of the target.
    """
    low, high = path.ends[0] - 1, path.ends[1] + 1  # below and above the target
    tried: dict[int, Amount] = {}
    position, exponent, same = path.position(1.0), 1.5, 0
    before: tuple[float, Amount] | None = None
    while low + 1 < high:
        position = min(max(position, low + 1), high - 1)
        found = tried[position] = max(cost(path.value(position)), SMALLEST)
        if near(found, target, enough):
            break
        scale, below = path.scale(position), found < target
        low, high = (position, high) if below else (low, position)
        if before and scale != before[0]:
            slope = math.log(found / before[1]) / math.log(scale / before[0])
            exponent = min(max(slope, 0.25), 8.0)
        same = same + 1 if before and below == (before[1] < target) else 0
        before = scale, found
        if same >= 2 and path.ends[0] <= low and high <= path.ends[1]:
            position, same = (low + high) // 2, 0
        else:
            factor = (target / found) ** (1 / exponent)
            position = path.position(scale * min(max(factor, 1 / JUMP), JUMP))
    return tried


def _adjusted(
    cost: Cost,
    target: Amount,
    start: tuple[int, ...],
    value: tuple[int, ...],
    found: Amount,
) -> tuple[Value, Amount]:
    """Returns a tuple close to `value` whose cost differs less from the target.

    The changes of single entries predict the cost of several changes. Of the tuples
    with a predicted cost close to the target, the most proportional ones are tried.

    Args:
      cost, target, start: see `solve`.
      value: the closest value on the path.
      found: the cost of `value`.
    """
    slopes = [cost(_changed(value, {i: 1})) - found for i in range(len(value))]
    candidates = []
    for changes in _changes(len(value)):
        changed = _changed(value, changes)
        predicted = found + sum(step * slopes[i] for i, step in changes.items())
        if near(predicted, target) and _proportional(changed, start):
            candidates.append((_unevenness(changed, start), changed))
    tried = {value: found}
    for _, changed in sorted(candidates)[:TRIALS]:
        tried[changed] = cost(changed)
        if near(tried[changed], target):
            return changed, tried[changed]
    best = min(tried, key=lambda one: (abs(tried[one] - target), one))
    return best, tried[best]


def _changes(entries: int) -> Iterator[dict[int, int]]:
    """Yields changes by 1, up or down, of up to `PAIRED` entries."""
    for count in range(1, min(PAIRED, entries) + 1):
        for chosen in itertools.combinations(range(entries), count):
            for steps in itertools.product((1, -1), repeat=count):
                yield dict(zip(chosen, steps, strict=True))


def _changed(value: tuple[int, ...], changes: dict[int, int]) -> tuple[int, ...]:
    return tuple(entry + changes.get(i, 0) for i, entry in enumerate(value))


def _shares(value: tuple[int, ...], start: tuple[int, ...]) -> list[float]:
    """Returns the numbers proportional to `start` that have the sum of `value`."""
    return [first * sum(value) / sum(start) for first in start]


def _proportional(value: tuple[int, ...], start: tuple[int, ...]) -> bool:
    return all(
        entry >= 1 and abs(entry - share) < max(1.0, 0.1 * share + 1e-9)
        for entry, share in zip(value, _shares(value, start), strict=True)
    )


def _unevenness(value: tuple[int, ...], start: tuple[int, ...]) -> float:
    """Returns the sum of the entries' squared distances from proportional numbers.

    Each distance is relative to the number. The result is rounded, so that equal sums
    compare equal on every machine.
    """
    shares = _shares(value, start)
    pairs = zip(value, shares, strict=True)
    return round(sum((entry / share - 1) ** 2 for entry, share in pairs), 9)
