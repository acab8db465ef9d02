"""Tables of texts, in Markdown or as plain text."""

from collections.abc import Sequence

from tabulate import tabulate


def aligned(
    lines: Sequence[Sequence[str]], headers: Sequence[str], format: str, left: int = 1
) -> str:
    """Returns a table whose first columns are aligned left, and all others right.

    Args:
      lines: the cells of each line.
      headers: the names of the columns.
      format: a table format of `tabulate`.
      left: the number of columns that are aligned left.
    """
    return tabulate(
        lines,
        headers,
        format,
        disable_numparse=True,
        colalign=["left"] * left + ["right"] * (len(headers) - left),
    )
