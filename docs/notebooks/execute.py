"""Executes the notebooks and writes their outputs into the files.

    python docs/notebooks/execute.py
    python docs/notebooks/execute.py docs/notebooks/cnn_in_ten_minutes.ipynb

Each notebook has a kernel and a temporary working directory of its own. Times and other
facts of the machine are left out of the files.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
SECONDS = 900  # for one cell, on a busy machine


def executed(path: Path, workdir: Path) -> nbformat.NotebookNode:
    """Returns a notebook with the outputs of a new kernel in a working directory.

    Raises:
      CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(workdir)}},
    )
    # The package of this checkout, wherever the kernel starts.
    places = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    places = os.pathsep.join(filter(None, places))
    client.execute(env=os.environ | {"PYTHONPATH": places})
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main() -> None:
    paths = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        with tempfile.TemporaryDirectory() as workdir:
            notebook = executed(path, Path(workdir))
        nbformat.write(notebook, path)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
