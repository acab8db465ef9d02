"""Names of files, folders and classes, converted to text."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

# Unicode categories: control characters, surrogates, line and paragraph separators.
ESCAPED = ("Cc", "Cs", "Zl", "Zp")
# Python's surrogates for the bytes of a file name that are not UTF-8.
FOREIGN_BYTES = re.compile("[\udc80-\udcff]+")
LONGEST = 40  # characters of a name in a figure


def text(name: str | os.PathLike, escaped: Sequence[str] = ESCAPED) -> str:
    r"""Returns the name as one line of valid Unicode; most names stay as they are.

    Control characters, and bytes that are not UTF-8, become escapes: `caf\xe9`.

    Args:
      escaped: the Unicode categories of characters that become escapes.
    """
    name = os.fspath(name)
    if name.isprintable():
        return name

    def joined(found: re.Match[str]) -> str:
        return (
            found[0]
            .encode("utf-8", "surrogateescape")
            .decode("utf-8", "surrogateescape")
        )

    def shown(character: str) -> str:
        if FOREIGN_BYTES.match(character):
            return f"\\x{ord(character) - 0xDC00:02x}"
        if unicodedata.category(character) in escaped:
            return character.encode("unicode_escape").decode()
        return character

    return "".join(map(shown, FOREIGN_BYTES.sub(joined, name)))


def key(name: str | os.PathLike) -> str:
    """Returns the same text for all Unicode spellings of a name.

    File systems and archives store an accented letter as one character (NFC), or as a
    letter and its accent (NFD).
    """
    return unicodedata.normalize("NFC", text(name))


def digest(path: str | os.PathLike) -> bytes:
    """Returns a hash of a file's name, from the bytes that the disk stores."""
    return hashlib.sha256(os.fsencode(Path(path).name)).digest()


def short(name: str) -> str:
    """Returns the text of a name for a figure, with at most `LONGEST` characters."""
    shown, half = text(name), LONGEST // 2 - 2
    return shown if len(shown) <= LONGEST else f"{shown[:half]}...{shown[-half:]}"


def plain(name: str) -> str:
    r"""Returns the text of a name for Matplotlib, which reads $...$ as mathematics."""
    return text(name).replace("$", r"\$")
