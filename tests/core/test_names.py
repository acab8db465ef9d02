"""Names as text: valid Unicode in one line, whatever the disk has."""

import os

import pytest

from cnn_jax.core import names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("traffic light", "traffic light"),
        ("猫 😀 price $5^^$ <b>|", "猫 😀 price $5^^$ <b>|"),
        ("no\u00a0break", "no\u00a0break"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("a\nb\tc\x1b[31m\x00\u2028", r"a\nb\tc\x1b[31m\x00\u2028"),
        ("\ud800", r"\ud800"),
        # As a locale that knows ASCII alone decodes UTF-8.
        (b"caf\xc3\xa9\xff".decode("ascii", "surrogateescape"), "caf\u00e9\\xff"),
    ],
)
def test_text(name, expected):
    assert names.text(name) == expected
    assert names.text(expected) == expected
    assert names.text(name).encode()


def test_json_keeps_all_that_is_unicode():
    assert names.text(os.fsdecode(b"a\n\xe9"), ["Cs"]) == "a\n\\xe9"


def test_spellings_of_a_name_have_one_key():
    assert names.key("cafe\u0301") == names.key("caf\u00e9") != names.key("cafe")


def test_a_digest_is_of_the_bytes_on_the_disk():
    assert names.digest("a/é.png") == names.digest("b/é.png")
    assert names.digest(os.fsdecode(b"\xe9.png")) != names.digest("é.png")


def test_long_names_are_shortened():
    assert names.short("x" * names.LONGEST) == "x" * names.LONGEST
    found = names.short("a" * 200 + "b" * 200)
    assert len(found) < names.LONGEST and found.startswith("aa") and found[-1] == "b"
