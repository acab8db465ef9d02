"""Tables that commands write into a page by hand, between two lines of it."""

from pathlib import Path

from cnn_jax.core.errors import UserError


def lines(name: str) -> tuple[str, str]:
    """The two lines: where the table begins and ends."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def update(path: Path, name: str, text: str) -> None:
    """Writes `text` into the file, between the `lines` of `name`.

    Raises:
      UserError: the file does not have these two lines.
    """
    begin, end = lines(name)
    content = path.read_text(encoding="utf-8")
    before, found, rest = content.partition(begin + "\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{path} has no lines '{begin}' and '{end}' to write between.")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f"{before}{found}{text}\n{closed}{after}", encoding="utf-8")
    temporary.replace(path)
