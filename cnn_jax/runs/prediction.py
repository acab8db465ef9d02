"""Predicts on the user's files with a run's network."""

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

LONGEST_NAME = 255  # bytes in the name of a file


def predict(
    workdir: Path,
    paths: Sequence[Path],
    *,
    top_k: int | None = None,
    checkpoint: str | None = None,
    output: str = "table",
    drawings: Path | None = None,
    style: Path | None = None,
) -> None:
    """Prints the task's answers for each picture.

    Args:
      workdir: the run's folder.
      paths: pictures and folders of pictures. A run on clips or volumes takes clips or
        volumes instead.
      top_k: the largest number of answers per picture; None takes the task's default.
      checkpoint: see `trained.chosen_step`.
      output: "table" or "json".
      drawings: a folder for the task's drawing of each result, `NAME.png`. Subfolders
        of `paths` are kept.
      style: see `loaded.load`.

    Raises:
      UserError: as `loaded.load` and `targets_of`.
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
    """Prints the answers for each file, as a "table" or as "json".

    Args:
      files: the files.
      answers: a list of answers for each file.
      output: "table" or "json".
      shares: the names of the entries of an answer, such as "probability", that the
        table shows as percentages.
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
        for number, row in enumerate(rows or [{}])  # also if there is no answer
    ]
    table = tabulate(
        lines,
        headers=["image", *keys],
        colalign=("left", "left", *["right"] * len(keys))[: len(keys) + 1],
        disable_numparse=True,
    )
    print(table, flush=True)


def _text(value: Any, is_share: bool) -> str:
    """Returns one value of an answer as text for the table.

    Args:
      value: the value.
      is_share: whether a float is shown as a percentage.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2%}" if is_share else f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def files_in(workdir: Path, paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Returns the files in `paths` that a run can read: pictures, clips or volumes.

    Args:
      workdir: the run's folder.
      paths: files and folders. Folders are searched with their subfolders.

    Returns:
      A pair for each file: the file's path, and the same path relative to the folder
      in `paths` that the file was found in.

    Raises:
      UserError: if one of `paths` has no file that the run can read.
    """
    name = config_json.read(workdir).config.data.name
    kind = data.source(name)[0].files.kind
    files = []
    for path in paths:
        found = below(path, kind)
        if not found:
            raise UserError(
                f"there are no {kind.name} in {path}: give another file or folder."
            )
        for file in found:
            place = Path(file.name) if file == path else file.relative_to(path)
            files.append((file, place))
    return files


def targets_of(files: Sequence[tuple[Path, Path]], drawings: Path) -> list[Path]:
    """Returns the path where the drawing of each file's result is written.

    Args:
      files: the result of `files_in`.
      drawings: the folder for the drawings.

    Raises:
      UserError: if `drawings` is a file or holds some of the files, or if two drawings
        would have the same path.
    """
    if drawings.exists() and not drawings.is_dir():
        raise UserError(f"--output={drawings} is a file: name a folder.")
    targets: dict[Path, Path] = {}
    for file, place in files:
        target = drawings / place.parent / f"{place.stem}.png"
        if len(os.fsencode(target.name)) > LONGEST_NAME:
            raise UserError(
                f"the name of {file} is too long for the name of an output image: "
                "rename the file."
            )
        if target in targets:
            raise UserError(
                f"the output images of {targets[target]} and {file} would both be "
                f"written to {target}: run the command once for each of the two "
                "files, with another --output."
            )
        if target.parent.resolve() == file.parent.resolve():
            raise UserError(
                f"--output={drawings} holds the input pictures: take another --output."
            )
        targets[target] = file
    return list(targets)
