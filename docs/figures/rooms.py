"""The subpackages of cnn_jax ("rooms") and what each imports, read from the files.

    python docs/figures/rooms.py

writes docs/rooms.svg: a row for each room, and a dot for each room that it imports. The
size of a dot is the number of files that do. A room imports only rooms below it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cnn_jax"
COMMANDS = "commands"
SAYS = {
    COMMANDS: "flags in, one call, result out",
    "sweeps": "arms, seeds, and the report",
    "benchmarks": "speed, beside other codes",
    "runs": "a run's folder, and its use",
    "training": "the training loop and its parts",
    "weights": "weights of other libraries, in and out",
    "analysis": "costs, receptive fields, features",
    "tasks": "loss, metrics, answers, pictures",
    "models": "architectures, one family per file",
    "layers": "layers, one family per file",
    "kernels": "convolutions on a backend",
    "data": "sources, labels, augmentation, loading",
    "core": "errors, names, paths, ranges of numbers",
}


def room(file: Path) -> str:
    """Returns the room of a file; files at the package's root are commands."""
    parts = file.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else COMMANDS


def imported(file: Path) -> Iterator[str]:
    """Yields the rooms that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "cnn_jax":
            names = [f"cnn_jax.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "cnn_jax" and len(parts) > 1 and parts[1] in SAYS:
                yield parts[1]


def imports() -> dict[tuple[str, str], int]:
    """Returns how many files of one room import another room."""
    counts: dict[tuple[str, str], int] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for other in set(imported(file)) - {room(file)}:
            counts[room(file), other] = counts.get((room(file), other), 0) + 1
    return counts


def draw(path: Path) -> None:
    """Writes the picture."""
    plt.rcParams |= {"svg.hashsalt": "rooms"}
    files = [room(file) for file in PACKAGE.rglob("*.py")]
    names = list(SAYS)
    figure, axes = plt.subplots(figsize=(11, 5.4))
    left = 7.4
    for row, name in enumerate(names):
        box = plt.Rectangle((0, -row - 0.38), 6.9, 0.76, color="#dfe8f5", ec="#4a6fa5")
        axes.add_patch(box)
        axes.text(0.12, -row, name, va="center", weight="bold", fontsize=11)
        axes.text(1.75, -row, SAYS[name], va="center", fontsize=10)
        count = f"{files.count(name)} files"
        axes.text(6.78, -row, count, va="center", ha="right", fontsize=9)
        axes.axhline(-row, left / 12.4, color="#dddddd", linewidth=0.6, zorder=0)
    for column, name in enumerate(names[1:]):
        axes.text(left + 0.4 * column, 0.6, name, rotation=60, fontsize=9, va="bottom")
    for (user, used), count in imports().items():
        x = left + 0.4 * (names.index(used) - 1)
        axes.scatter(x, -names.index(user), s=14 + 9 * count, color="#b3541e", zorder=2)
    axes.set(xlim=(0, 12.4), ylim=(-len(names) + 0.4, 2.6))
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(ROOT / "docs" / "rooms.svg")
