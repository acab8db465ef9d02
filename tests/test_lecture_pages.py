"""The pages of docs/lecture: their numbers, tables, figures and names are the code's.

A `python` block of a page is executed after the blocks before it. The `text` block that
follows has what it prints.
"""

import contextlib
import importlib
import io
import re
import struct
import sys
from pathlib import Path

import pytest

from cnn_jax import layers

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "lecture"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
EXAMPLE = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
FIGURE = re.compile(r"!\[[^\]]+\]\(figures/(\w+)\.png\)\n\n\*.+?\*\n", re.DOTALL)
LAYER = re.compile(r"`layers\.(\w+)")
EXPERIMENT = re.compile(r"--config=(experiments/\w+\.py)")


def pages(*costly):
    """Parametrizes a test by page; that of `costly` pages is not a quick one."""
    return pytest.mark.parametrize(
        "page",
        [
            pytest.param(page, marks=pytest.mark.full if page in costly else ())
            for page in sorted(PAGES)
        ],
    )


@pytest.fixture(scope="module")
def scripts():
    """The scripts of docs/figures."""
    folder = str(ROOT / "docs" / "figures")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pages("backpropagation", "matrix_product", "residual", "verification")
def test_examples_print_what_the_page_says(page):
    names = {}
    for code, printed in EXAMPLE.findall(PAGES[page]):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, f"{page}.md", "exec"), names)
        assert output.getvalue() == printed, code


@pages("architectures")
def test_tables_are_the_generated_ones(page, scripts):
    tables = scripts("lecture_tables")
    for name in tables.NAMED.findall(PAGES[page]):
        begin, end = tables.page_tables.lines(name)
        _, _, rest = PAGES[page].partition(f"{begin}\n")
        assert rest.partition(f"\n{end}")[0] == tables.text(name), (
            "run docs/figures/lecture_tables.py"
        )


def test_each_figure_is_made_by_the_script_and_shown_with_a_caption(scripts):
    shown = [name for text in PAGES.values() for name in FIGURE.findall(text)]
    links = [n for text in PAGES.values() for n in re.findall(r"\(figures/(\w+)", text)]
    assert sorted(links) == sorted(shown), "a figure without a caption"
    assert sorted(shown) == sorted(scripts("lecture").FIGURES)
    assert sorted(shown) == sorted(path.stem for path in FOLDER.glob("figures/*.png"))


@pytest.mark.full
def test_the_script_draws_a_figure(scripts, tmp_path):
    path = tmp_path / "convolution.png"
    scripts("lecture_drawing").save(scripts("lecture").FIGURES[path.stem](), path)
    stored = FOLDER / "figures" / path.name
    sizes = [struct.unpack(">II", p.read_bytes()[16:24]) for p in (path, stored)]
    assert sizes[0] == sizes[1]


@pages()
def test_a_page_names_layers_and_experiments_that_are_there(page):
    for name in LAYER.findall(PAGES[page]):
        assert hasattr(layers, name) or name == "arithmetic", f"layers.{name}"
    for name in EXPERIMENT.findall(PAGES[page]):
        assert (ROOT / name).is_file(), name


def test_the_index_links_every_page():
    linked = set(re.findall(r"\]\((\w+)\.md\)", PAGES["index"]))
    assert linked == PAGES.keys() - {"index"}
