"""The allowed range of a number, as a part of its type hint.

    def sgd(schedule, *, momentum: Annotated[float, Range(least=0, below=1)] = 0.9): ...

Configs are checked against the hints of the functions that read them, and models
against the hints of their attributes. A float must always be finite. An exclusive bound
must also hold after rounding to float32, in which the number is used.
"""

import dataclasses
import functools
import math
import operator
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from cnn_jax.core.errors import UserError


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `least` and `most` are allowed, `above` and `below` are not.

    `Range()` accepts every finite number.
    """

    least: int | float | None = None
    above: int | float | None = None
    most: int | float | None = None
    below: int | float | None = None

    def __contains__(self, number: object) -> bool:
        """Returns whether an object is a finite number within the bounds."""
        if not isinstance(number, int | float):
            return False
        if isinstance(number, float):
            if not math.isfinite(number):
                return False
            with np.errstate(over="ignore"):
                rounded = float(np.float32(number))
        else:
            rounded = number
        return (
            (self.least is None or number >= self.least)
            and (self.above is None or rounded > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or rounded < self.below)
        )

    def __str__(self) -> str:
        names = {"least": "at least", "above": "above", "most": "at most"}
        bounds = [
            f"{names.get(name, name)} {bound}"
            for name, bound in dataclasses.asdict(self).items()
            if bound is not None
        ]
        return " and ".join(bounds) or "finite"


MANY = 10**6  # more channels, classes or cells than any network has

Count = Annotated[int, Range(least=1, most=MANY)]
Layers = Annotated[int, Range(least=1, most=1000)]
Cells = Annotated[int, Range(least=1, most=1024)]  # the side of a kernel or of a grid
Channels = Annotated[int, Range(least=1, most=3)]  # channels of an image: 1 or 3
Bands = Annotated[int, Range(least=1, most=1024)]  # channels of any kind of image
Edge = Annotated[int, Range(least=0, most=1024)]  # pixels around an image
Side = Annotated[int, Range(least=1, most=2**16)]  # the side of an image in pixels
Index = Annotated[int, Range(least=0, most=2**31 - 1)]
Level = Annotated[int, Range(least=0, most=255)]  # a gray level in 8 bits
Examples = Annotated[int, Range(least=1, most=2**31 - 1)]
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
Rate = Annotated[float, Range(least=0, below=1)]
Share = Annotated[float, Range(above=0, most=1)]
Fraction = Annotated[float, Range(above=0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(least=0)]
Number = Annotated[float, Range()]


def check(name: str, value: Any, hint: Any) -> None:
    """Raises `UserError` unless the numbers of `value` lie in the ranges of its hint.

    Args:
      name: the name of the value in errors, such as `config.optimizer.momentum`.
      hint: the type hint of the value.
    """
    for number, bounds in _numbers(value, hint):
        if number not in bounds:
            unbounded = isinstance(number, float) and not math.isfinite(number)
            finite = " and finite" if unbounded and bounds != Range() else ""
            raise UserError(f"{name}={value} must be {bounds}{finite}.")


def check_fields(instance: Any) -> None:
    """Raises `UserError` unless the fields of a dataclass lie in their ranges."""
    for field in dataclasses.fields(instance):
        check(field.name, getattr(instance, field.name), field.type)


def plain(hint: Any) -> Any:
    """Returns a hint without its ranges: `float` for `Annotated[float, Range()]`."""
    if typing.get_origin(hint) is Annotated:
        return plain(typing.get_args(hint)[0])
    parts = typing.get_args(hint)
    if is_union(hint):
        return functools.reduce(operator.or_, map(plain, parts))
    if typing.get_origin(hint) is tuple:
        return types.GenericAlias(tuple, tuple(map(plain, parts)))
    return hint


def bounds_of(hint: Any) -> Iterator[Range | None]:
    """Yields the range of each number type in a hint; None if the type has no range."""
    if typing.get_origin(hint) is Annotated:
        kind, *facts = typing.get_args(hint)
        found = [fact for fact in facts if isinstance(fact, Range)]
        yield from found or bounds_of(kind)
    elif hint in (int, float):
        yield None
    elif is_union(hint) or typing.get_origin(hint) is tuple:
        for part in typing.get_args(hint):
            yield from bounds_of(part)


def _numbers(value: Any, hint: Any) -> Iterator[tuple[int | float, Range]]:
    """Yields each number in a config value, with the range that its type allows."""
    if isinstance(value, tuple | list):
        for part in typing.get_args(hint) if is_union(hint) else (hint,):
            if typing.get_origin(part) is tuple:
                for entry in value:
                    yield from _numbers(entry, typing.get_args(part)[0])
    elif type(value) in (int, float):
        parts = typing.get_args(hint) if is_union(hint) else (hint,)
        # An integer may be given for a float if the hint has no integers.
        for kind in (type(value), float):
            for part in parts:
                if plain(part) is kind:
                    yield value, next(bounds_of(part)) or Range()
                    return


def is_union(hint: Any) -> bool:
    """Returns whether a hint is a union of types, such as `int | None`."""
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
