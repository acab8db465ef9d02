"""The notebooks of docs/notebooks/: their files, and what they do in a new kernel."""

import importlib.util
import os
import re
from types import SimpleNamespace

import pytest

from tests.conftest import QUICK, ROOT

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 400_000  # bytes of a file
LARGEST_PICTURE = 40_000
# Folders of a machine.
OF_A_MACHINE = re.compile(r"/(work|home|root|tmp|usr|Users|var|opt)/|[A-Z]:\\\\")
# Calls that show something.
SHOWN = re.compile(r"^\s*(print|show|plt\.show|Markdown|Image|runs\.evaluate)\(", re.M)

nbformat = pytest.importorskip("nbformat", reason="the notebooks need nbformat")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def imported(file):
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(output):
    """Everything in an output that people read."""
    if output.output_type == "stream":
        return [output.text]
    data = output.get("data", {})
    return ["".join(data[key]) for key in data if not key.startswith("image/")]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


@each
def test_a_notebook_is_valid_and_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < LARGEST
    assert all(len(cell.source.splitlines()) <= 35 for cell in notebook.cells)
    assert notebook.cells[0].source.startswith("# ")


@each
def test_a_notebook_has_the_outputs_of_one_pass(path):
    """Cells were executed in order, without an error, and show what they print."""
    code = cells_of(nbformat.read(path, as_version=4), "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        kinds = {output.output_type for output in cell.outputs}
        assert "error" not in kinds, cell.source
        if SHOWN.search(cell.source):
            assert kinds, f"without an output: {cell.source}"


@each
def test_outputs_are_of_no_machine(path):
    for cell in cells_of(nbformat.read(path, as_version=4), "code"):
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"a warning: {output.text}"
            picture = output.get("data", {}).get("image/png", "")
            assert len(picture) * 3 / 4 < LARGEST_PICTURE, cell.source
            for text in texts(output):
                assert not OF_A_MACHINE.search(text), text


def test_a_page_of_the_site_has_formulas_and_links():
    pytest.importorskip("latex2mathml", reason="the site needs latex2mathml")
    hooks = imported(ROOT / "docs" / "hooks.py")
    pages = {"start/training.md": "../../start/training/"}

    class Files:
        def get_file_from_path(self, name):
            url = pages.get(name)
            return url and SimpleNamespace(url_relative_to=lambda page: url)

    def page(content, source="notebooks/a.ipynb"):
        file = SimpleNamespace(src_uri=source)
        given = {"page": SimpleNamespace(file=file), "files": Files()}
        return hooks.on_page_content(content, **given)

    assert "<mi>a</mi><mo>&#x0003C;</mo><mi>b</mi>" in page("<p>$a &lt; b$</p>")
    for kept in ("<pre>$a$ $b$</pre>", "<style>$a$</style>", "costs $1 and $2"):
        assert page(kept) == kept
    assert page("$a$", source="start/training.md") == "$a$"
    link = '<a href="../start/training.md#resume">'
    assert page(link) == '<a href="../../start/training/#resume">'
    missing = '<a href="../start/no.md">'
    assert page(missing) == missing


@each
@pytest.mark.slow
def test_a_notebook_runs_in_a_new_kernel(path, tmp_path, monkeypatch):
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"executing a notebook needs {package}")
    for key in QUICK:
        monkeypatch.delenv(key, raising=False)
    execute = imported(FOLDER / "execute.py")
    notebook = execute.executed(path, tmp_path)
    assert {
        output.output_type
        for cell in cells_of(notebook, "code")
        for output in cell.outputs
    } <= {"stream", "display_data", "execute_result"}
    assert not os.listdir(tmp_path), "it writes outside of its temporary folder"
