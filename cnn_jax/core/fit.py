"""The check that the parts of a run (data, model, task, ...) fit each other.

A part states facts, such as the frame rate of its clips. It also states needs: the
values of a fact that it accepts from the other parts. For example,

    data = Part("config.data.name=clips", {"frame rate": 12})
    task = Part("config.task.name=my.Task", {}, (Need("frame rate", {25, 30}),))
    check([data, task])

raises an error: "config.task.name=my.Task takes frame rate 25 or 30, and
config.data.name=clips has frame rate 12." A fact is identified by its name alone, so
the user's own parts can add new facts and needs.
"""

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnn_jax.core.errors import UserError


@dataclass(frozen=True)
class Fact:
    """A value that a part states about itself, with words for error messages.

    Attributes:
      value: the value, which must be accepted by the needs of the other parts.
      words: the predicate of a sentence about the part: "has one label per pixel".
      changes: advice on how the user gets other values from the part, by value:
        {"maps": "take head=fcn"}.
    """

    value: Any
    words: str = ""
    changes: Mapping[Any, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """The values of a fact that a part accepts from the other parts.

    A need is not checked if no part states the fact.

    Attributes:
      fact: the fact's name.
      accepted: the accepted values: a set, a `ranges.Range`, `AllBut` or `Holding`.
      words: the predicate of a sentence about the part that has this need: "learns one
        label per pixel".
      advice: the advice to the user if the fact's `changes` have none.
    """

    fact: str
    accepted: Container[Any]
    words: str = ""
    advice: str = ""


@dataclass(frozen=True)
class AllBut:
    """Accepts every value that is not among `values`."""

    values: Collection[Any]

    def __contains__(self, value: Any) -> bool:
        return value not in self.values

    def __str__(self) -> str:
        return f"other than {either(sorted(map(str, self.values)))}"


@dataclass(frozen=True)
class Holding:
    """Accepts every collection that contains `entry`."""

    entry: Any

    def __contains__(self, value: Any) -> bool:
        return self.entry in value

    def __str__(self) -> str:
        return f"with {self.entry}"


@dataclass(frozen=True)
class Part:
    """One part of a run, with its facts and its needs.

    Attributes:
      name: the part's name in errors, such as "config.data.name=digits".
      gives: the part's facts by name. A fact is a `Fact`, or its value alone.
      takes: the part's needs; the first one that is not met is reported.
    """

    name: str
    gives: Mapping[str, Any] = field(default_factory=dict)
    takes: Sequence[Need] = ()


def check(parts: Sequence[Part]) -> None:
    """Raises `UserError` if a part states a fact that another part does not accept.

    The error names the part with the need, the part with the fact, and what to do.
    """
    for taker in parts:
        for need in taker.takes:
            for giver, fact in _given(need.fact, parts):
                if fact.value not in need.accepted:
                    raise _misfit(taker, need, giver, fact)


def _given(name: str, parts: Sequence[Part]) -> Iterator[tuple[Part, Fact]]:
    for part in parts:
        if name in part.gives:
            value = part.gives[name]
            yield part, value if isinstance(value, Fact) else Fact(value)


def _misfit(taker: Part, need: Need, giver: Part, fact: Fact) -> UserError:
    takes = need.words or f"takes {need.fact} {_words(need.accepted)}"
    has = fact.words or f"has {need.fact} {fact.value}"
    changes = (way for value, way in fact.changes.items() if value in need.accepted)
    advice = next(changes, need.advice)
    ending = f": {advice}." if advice else "."
    return UserError(f"{taker.name} {takes}, and {giver.name} {has}{ending}")


def _words(accepted: Container[Any]) -> str:
    if isinstance(accepted, set | frozenset | tuple | list):
        return either(sorted(map(str, accepted)))
    return str(accepted)


def either(words: Sequence[str]) -> str:
    """Returns the words joined with commas and "or": "a, b or c"."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
