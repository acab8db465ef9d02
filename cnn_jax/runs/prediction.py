"""What a run's network makes of the user's pictures."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from tabulate import tabulate

from cnn_jax import data
from cnn_jax.core import names, strict_json
from cnn_jax.core.errors import UserError
from cnn_jax.data.walk import below
from cnn_jax.runs import config_json, loaded

LONGEST_NAME = 255  # bytes, of a file


def predict(
    workdir: Path,
    paths: Sequence[Path],
    *,
    top_k: int | None = None,
    checkpoint: str = "best",
    output: str = "table",
    drawings: Path | None = None,
    style: Path | None = None,
) -> None:
    """Prints what the task says of each picture.

    Args:
      paths: pictures, and folders of them; of a run of clips or volumes, such.
      top_k: at most so many things are said of each; None: the task's own number.
      output: "table" or "json".
      drawings: a folder that gets the task's own picture of each, `NAME.png`, in
        folders as they are in those of `paths`.
      style: see `loaded.load`.

    Raises:
      UserError: as `loaded.load`, or the folder is a file, holds some of the
        pictures, or would get two of one name.
    """
    found = files_in(workdir, paths)
    files = [file for file, _ in found]
    targets = targets_of(found, drawings) if drawings else [None] * len(files)
    run = loaded.load(workdir, checkpoint, style)
    task, answers = run.task, []
    for (picture, output_of_it), target in zip(
        run.outputs(files), targets, strict=True
    ):
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], output_of_it)
        answers += task.answers([picture], one, top_k or task.answered)
        if target:
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(task.drawn(picture, output_of_it)).save(target)
    show(files, answers, output, task.shares)


def show(
    files: Sequence[Path | str],
    answers: Sequence[list[dict]],
    output: str,
    shares: Collection[str] = (),
) -> None:
    """Prints the answers to each file, as a "table" or in "json".

    Args:
      shares: the entries of answers that a table has in per cent.
    """
    if output == "json":
        found = [
            {"image": names.text(path, ["Cs"]), "predictions": rows}
            for path, rows in zip(files, answers, strict=True)
        ]
        print(strict_json.dumps(found, indent=2), flush=True)
        return
    keys = list(dict.fromkeys(key for rows in answers for row in rows for key in row))
    lines = [
        [
            names.text(path) if number == 0 else "",
            *(_text(row.get(key), key in shares) for key in keys),
        ]
        for path, rows in zip(files, answers, strict=True)
        for number, row in enumerate(rows or [{}])  # a picture with nothing in it too
    ]
    table = tabulate(
        lines,
        headers=["image", *keys],
        colalign=("left", "left", *["right"] * len(keys))[: len(keys) + 1],
        disable_numparse=True,
    )
    print(table, flush=True)


def _text(value: Any, is_share: bool) -> str:
    """An answer in the table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2%}" if is_share else f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def files_in(workdir: Path, paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """The pictures, or what else the run takes: the paths themselves, or what is in
    them and the folders below; and the place of each in its path.

    Raises:
      UserError: there are none in a path.
    """
    name = config_json.read(workdir).config.data.name
    kind = data.source(name)[0].files.kind
    files = []
    for path in paths:
        found = below(path, kind)
        if not found:
            raise UserError(f"there are no {kind.name} in {path}.")
        for file in found:
            place = Path(file.name) if file == path else file.relative_to(path)
            files.append((file, place))
    return files


def targets_of(files: Sequence[tuple[Path, Path]], drawings: Path) -> list[Path]:
    """Where the picture of each file is written.

    Args:
      files: as `files_in` returns them.

    Raises:
      UserError: the folder is a file, holds some of the files, or would get two
        pictures of one name.
    """
    if drawings.exists() and not drawings.is_dir():
        raise UserError(f"--output={drawings} is a file: name a folder.")
    targets: dict[Path, Path] = {}
    for file, place in files:
        target = drawings / place.parent / f"{place.stem}.png"
        if len(os.fsencode(target.name)) > LONGEST_NAME:
            raise UserError(f"the name of {file} is too long for a picture of it.")
        if target in targets:
            raise UserError(
                f"{targets[target]} and {file} would both be written to {target}: "
                "predict them one after the other, into two folders."
            )
        if target.parent.resolve() == file.parent.resolve():
            raise UserError(
                f"--output={drawings} has the pictures themselves: take another folder."
            )
        targets[target] = file
    return list(targets)
