"""Tables that commands write into a page of documentation, between two marker lines."""

from pathlib import Path

from cnn_jax.core.errors import UserError


def lines(name: str) -> tuple[str, str]:
    """Returns the marker lines before and after the table `name`."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def update(path: Path, name: str, text: str) -> None:
    """Replaces the text in a file between the marker lines of a table.

    Args:
      path: the file.
      name: the name of the table, as in the marker lines.
      text: the new text.

    Raises:
      UserError: see `around`.
    """
    before, after = around(path, name)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f"{before}{text}\n{after}", encoding="utf-8")
    temporary.replace(path)


def around(path: Path, name: str) -> tuple[str, str]:
    """Returns the text before a table and the text after it, with the marker lines.

    Raises:
      UserError: if the file does not exist, or lacks the two marker lines.
    """
    begin, end = lines(name)
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: create this file with the lines '{begin}' and "
            f"'{end}'."
        ) from None
    before, found, rest = content.partition(begin + "\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(
            f"{path} lacks the lines '{begin}' and '{end}': add both lines where the "
            "table belongs."
        )
    return before + found, closed + after
