"""Each module of the package has a file of tests in the same place."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.with_name("cnn_jax")
MODULES = {
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if not path.name.startswith("__")
}
FILES = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}

# Tests of more than one module, and what they are about.
WHOLE = {
    "analysis/test_explanation.py": "the formulas of every layer of every network",
    "test_docs.py": "the pages of the project, and the commands on them",
    "test_devices.py": "several devices and several hosts",
    "test_experiments.py": "the files of experiments/",
    "test_extending.py": "the examples of docs/guides/extending.md",
    "test_kills.py": "commands that are killed at a call that writes",
    "test_layout.py": "where tests are",
    "test_lecture_pages.py": "the pages of docs/lecture",
    "test_mistakes.py": "what bad input gets",
    "test_notebooks.py": "the notebooks of docs/notebooks/",
    "test_package.py": "the wheel",
    "test_program.py": "the files of configs/, and every command on a run",
    "test_resume.py": "runs that were ended and go on",
    "test_rooms.py": "what a room may use and name",
    "test_tensorboard.py": "what TensorBoard shows of a run",
    "test_transfer.py": "runs that start from weights of others",
    "data/test_malformed_annotations.py": "annotation files, spoiled in every way",
    "faults/test_faults.py": "the library of tests that makes calls fail",
    "models/test_golden.py": "the outputs of torchvision's networks",
    "models/test_models.py": "what every network keeps",
    "training/optimizers/test_optimizers.py": "what every optimizer keeps",
    "training/schedules/test_schedules.py": "what every schedule keeps",
    "training/test_every_key_is_read.py": "no key of a config is set and never read",
}


def mirror(module):
    """The file of a module's tests."""
    return module.with_name(f"test_{module.name}")


@pytest.mark.parametrize("module", sorted(MODULES), ids=str)
def test_a_module_has_its_tests(module):
    assert mirror(module) in FILES, f"write tests/{mirror(module)} for cnn_jax/{module}"


@pytest.mark.parametrize("file", sorted(FILES), ids=str)
def test_a_file_of_tests_has_its_module(file):
    mirrors = file in map(mirror, MODULES)
    assert mirrors != (file.as_posix() in WHOLE), (
        f"tests/{file} is named after no module: name it as the one that it tests, or "
        "list it in WHOLE"
    )


def test_what_is_listed_is_there():
    assert {Path(file) for file in WHOLE} <= FILES


PAGES = [*(TESTS.parent / "docs").rglob("*.md"), *TESTS.parent.glob("*.md")]
# Files of the project that a page names; `<...>` and capitals are a reader's own.
NAMED = re.compile(r"(?<![\w/.-])(?:cnn_jax|tests|configs|experiments)/[\w/]+\.py\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_files_that_are_there(page):
    for name in NAMED.findall(page.read_text(encoding="utf-8")):
        assert (TESTS.parent / name).is_file(), f"{page.name} names {name}"
