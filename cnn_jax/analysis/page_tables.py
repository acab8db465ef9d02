"""Tables that commands write into a page of documentation, between two marker lines."""

from pathlib import Path

from cnn_jax.core.errors import UserError


def lines(name: str) -> tuple[str, str]:
    """Returns the marker lines before and after the table."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def update(path: Path, name: str, text: str) -> None:
    """Writes `text` into the file, between the marker `lines` of `name`.

    Raises:
      UserError: the file does not contain these two lines.
    """
    begin, end = lines(name)
    content = path.read_text(encoding="utf-8")
    before, found, rest = content.partition(begin + "\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(
            f"{path} lacks the lines '{begin}' and '{end}': add them where the table "
            "belongs."
        )
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f"{before}{found}{text}\n{closed}{after}", encoding="utf-8")
    temporary.replace(path)
