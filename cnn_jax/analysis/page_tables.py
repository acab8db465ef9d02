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
      UserError: if the file does not contain the two marker lines.
    """
    begin, end = lines(name)
    content = path.read_text(encoding="utf-8")
    before, found, rest = content.partition(begin + "\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(
            f"{path} lacks the lines '{begin}' and '{end}': add both lines where the "
            "table belongs."
        )
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f"{before}{found}{text}\n{closed}{after}", encoding="utf-8")
    temporary.replace(path)
