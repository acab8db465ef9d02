"""Docstrings in Google style: their first sentence, and what they say of a name."""

import inspect
import re
import sys
import textwrap
from typing import Any

SECTIONS = ("Args", "Attributes")
# Of a sentence, but not of "Zhou et al. 2016": a point before a space or the end.
END = re.compile(r"(?<!\bal)(?<!\bcf)\.(?=\s|$)")
ENTRY = re.compile(r"(\w[\w.]*(?:, \w[\w.]*)*): (.*)")


def first_sentence(thing: Any) -> str:
    """Returns the first sentence of a docstring, on one line."""
    paragraph = _lines(thing).split("\n\n")[0]
    text = " ".join(paragraph.split())
    end = END.search(text)
    return text[: end.end()] if end else text.rstrip(":.") + "."


def entries(thing: Any) -> dict[str, str]:
    """Returns the texts of a docstring's `Args:` and `Attributes:`, by name.

    An entry of several names, `width, height: pixels`, is the entry of each. Where an
    entry only refers to another docstring, "see `folder.load`", the text of that
    docstring is taken.
    """
    return {name: _followed(thing, name, text) for name, text in _own(thing).items()}


def _followed(thing: Any, name: str, text: str) -> str:
    """Returns the text of an entry, or the text to which the entry refers."""
    reference = re.fullmatch(r"see `([\w.]+)`\.?", text)
    if not reference or not hasattr(thing, "__module__"):
        return text
    package, _, _ = thing.__module__.rpartition(".")
    first, *rest = reference[1].split(".")
    other = getattr(sys.modules[thing.__module__], first, None)
    other = other or sys.modules.get(f"{package}.{first}")
    for part in rest:
        other = getattr(other, part, None)
    return entries(other).get(name, text) if other else text


def _own(thing: Any) -> dict[str, str]:
    """Returns the text about each name in the docstring of the thing itself."""
    found: dict[str, str] = {}
    for section in SECTIONS:
        block = re.search(
            # "Attributes: those of `Classification`, and" is a beginning too.
            rf"^{section}\b.*\n((?:[ \t]+\S.*\n?|\n)*)",
            _lines(thing),
            re.MULTILINE,
        )
        for names, text in _entries(block[1]) if block else ():
            found |= dict.fromkeys(names.split(", "), text)
    return found


def _entries(block: str) -> list[tuple[str, str]]:
    """Returns the names and the text of each entry of a section."""
    lines = textwrap.dedent(block).splitlines()
    found: list[tuple[str, str]] = []
    for line in lines:
        entry = ENTRY.fullmatch(line)
        if entry:
            found.append((entry[1], entry[2]))
        elif found and line.strip():
            names, text = found[-1]
            found[-1] = names, f"{text} {line.strip()}"
    return found


def _lines(thing: Any) -> str:
    """Returns the docstring without indentation; base classes do not count."""
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    return inspect.cleandoc(own or "")
