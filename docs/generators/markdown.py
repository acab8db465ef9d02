"""Pieces of Markdown pages."""

import re
import textwrap
from collections.abc import Iterable, Sequence

# How parts begin that are no paragraphs: headings, tables, code and comments.
MARKS = ("#", "|", "```", "    ", "<", "* ", ":::")
NOTE = "<!-- Written by `python docs/generate.py`: change the code, not this page. -->"


def page(title: str, introduction: str, parts: Iterable[str]) -> str:
    """Returns a page that nobody edits by hand."""
    parts = [*introduction.strip().split("\n\n"), *parts]
    parts = [part if part.startswith(MARKS) else filled(part) for part in parts]
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


def filled(text: str) -> str:
    """Returns a paragraph in lines of at most 100 characters."""
    # Code stays on one line.
    text = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    lines = textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: str = ""
) -> str:
    """Returns a table.

    Args:
      right: the names of the columns that are aligned to the right, with commas.
    """
    rule = ["---:" if name in right.split(",") else "---" for name in headers]
    lines = [headers, rule, *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Returns the text for one cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")


def code(text: str) -> str:
    """Returns the text as code."""
    return f"`{text}`"


def prose(text: str) -> str:
    """Returns the text of a docstring without characters that Markdown reads as marks.

    Parts between backquotes stay as they are.
    """
    parts = re.split(r"(`[^`]*`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*<]|\b_|_\b|\](?=\())", r"\\\1", parts[i])
    return "".join(parts)
