"""The rooms of the package: what each may use, and which names it may say."""

import ast
from pathlib import Path

import pytest

from cnn_jax import data, models, tasks

PACKAGE = Path(__file__).parents[1] / "cnn_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
# A room uses only rooms before it in this list; commands at the root use all of them.
ROOMS = ["core", "data", "kernels", "layers", "models", "tasks", "analysis", "weights"]
ROOMS += ["training", "runs", "benchmarks", "sweeps"]

NAMES = {
    "models": {*models.MODELS, *models.ON_BACKBONES},
    "data": set(data.SOURCES),
    "tasks": set(tasks.TASKS),
}
# Names that are words of their own too: a table format, a collection of parameters,
# the key of a dict, a kind of label or output, a place of weights, a branch of a
# detector.
WORDS = {"plain", "pixels", "folder", "embedding", "classification", "multi_label"}
WORDS |= {"hf", "regression"}
# Files that hold configs, or name what they measure.
EXEMPT = {"training/config.py", "training/recipes.py", "benchmarks/suite.py"}
# A name of version 1, and what it is called now.
EXEMPT |= {"runs/migration.py"}


def room(file):
    parts = file.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def imported(tree):
    """The modules of the package that a module imports, at the top or later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "cnn_jax":
            yield from (f"cnn_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def said(tree):
    """The strings of a module, without docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if text and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_uses_the_rooms_below_it_alone(name):
    above = set(ROOMS[ROOMS.index(name) + 1 :])
    files = [file for file in FILES if room(file) == name]
    assert files
    for file in files:
        for module in imported(ast.parse(file.read_text())):
            package, *rest = module.split(".")
            if package == "cnn_jax" and rest:
                assert rest[0] not in above, f"{file} imports {module}"
                assert rest[0] in ROOMS, f"{file} imports the command {module}"


@pytest.mark.parametrize("kind", NAMES)
def test_nobody_names_the_things_of_another_room(kind):
    """Whoever adds a model, a source or a task finds its name nowhere else."""
    for file in FILES:
        if room(file) == kind or file.relative_to(PACKAGE).as_posix() in EXEMPT:
            continue
        for line, text in said(ast.parse(file.read_text())):
            name = text.partition(":")[0]
            assert name not in NAMES[kind] - WORDS, f"{file}:{line} says '{text}'"
