"""Config keys: what their reader's signature says of them."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import REQUIRED, Key, keywords
from cnn_jax.core.ranges import Share


def test_the_keyword_only_parameters_of_a_function():
    def reader(given, *, size: int, share: Share = 0.5): ...

    assert keywords(reader) == {"size": Key(int), "share": Key(Share, 0.5)}
    assert keywords(reader)["size"].default is REQUIRED


def test_the_keyword_only_fields_of_a_dataclass():
    @dataclass(kw_only=True)
    class Reader:
        size: int = 3
        fixed: ClassVar[int] = 4

    assert keywords(Reader) == {"size": Key(int, 3)}


def test_hints_are_read_where_there_are_keys():
    def reader(given: "Missing"): ...

    assert keywords(reader) == {}

    def other(given: "Missing", *, size: int = 3): ...

    with pytest.raises(UserError, match=r"other cannot be read: name 'Missing'"):
        keywords(other)


def test_a_parameter_without_a_hint():
    def reader(*, size=3): ...

    with pytest.raises(UserError, match=r"reader: 'size' needs a type hint"):
        keywords(reader)
