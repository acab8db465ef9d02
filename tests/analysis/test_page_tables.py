"""Tables within pages that are written by hand."""

import pytest

from cnn_jax.analysis import page_tables
from cnn_jax.core.errors import UserError

BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def test_the_lines_around_a_table():
    assert page_tables.lines("table") == (BEGIN, END)


@pytest.mark.parametrize("before", ["", "above é\n"])
@pytest.mark.parametrize("old", ["", "old\n", "two\n\nlines\n"])
def test_all_but_the_table_stays(before, old, tmp_path):
    path = tmp_path / "page.md"
    page = (
        f"{before}{BEGIN}\n{{}}{END}\nbelow\n<!-- other -->\nx\n<!-- end of other -->"
    )
    path.write_text(page.format(old), encoding="utf-8")
    for text in ("| new |", "| newer |\n| again |"):
        page_tables.update(path, "table", text)
        assert path.read_text(encoding="utf-8") == page.format(text + "\n")
    assert [file.name for file in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    "page", ["", BEGIN, f"{BEGIN}\n", END, f"{END}\n{BEGIN}\n", f"{BEGIN} x\n{END}"]
)
def test_a_page_without_a_place(page, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(
        UserError, match=r"page\.md lacks the lines '<!-- table -->' and"
    ):
        page_tables.update(path, "table", "new")
    assert path.read_text() == page


def test_a_page_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="create this file with the lines '<!-- table"):
        page_tables.around(tmp_path / "page.md", "table")
