"""What a run's network makes of the user's pictures."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image
from tabulate import tabulate

from cnn_jax import data
from cnn_jax.core import names, strict_json
from cnn_jax.core.errors import UserError
from cnn_jax.data.walk import below, check_regular
from cnn_jax.models.outputs import said
from cnn_jax.runs import input_files, run_folder, trained
from cnn_jax.tasks import Task
from cnn_jax.training import setup

BATCH = 32
LONGEST_NAME = 255  # bytes, of a file


class Applied(NamedTuple):
    """A run's network, applied to pictures.

    Attributes:
      step: of the checkpoint.
      results: of each picture its pixels, as they are drawn on, and what the network
        makes of them.
    """

    task: Task
    step: int
    results: Iterator[tuple[np.ndarray, Any]]


def apply(
    workdir: Path, files: Sequence[Path], checkpoint: str, style: Path | None = None
) -> Applied:
    """The run's network on pictures, of a run of clips or volumes on such.

    Args:
      style: the picture whose style they get, where the network takes any.

    Raises:
      UserError: a file cannot be read, the run is one of one picture that is not the
        given one, or the network needs a style, or takes none.
    """
    for file in filter(None, [*files, style]):
        check_regular(file)
    config = run_folder.saved_config(workdir)
    dataset = run_folder.saved_dataset(workdir)
    if config.data.get("keep_pixels", 1) < 1:
        raise UserError(
            f"the run in {workdir} sees a part of the pixels of its own images "
            "(data.keep_pixels): it cannot see pictures as it was trained."
        )
    network = setup.network(config, dataset)
    if bool(style) != said(network.model, "any_style"):
        raise UserError(
            f"the run in {workdir} knows no style but its own: leave out --style."
            if style
            else f"the run in {workdir} takes any style: set --style=PICTURE."
        )
    resizing = network.task.resizing
    read = input_files.reader(config, dataset, resizing)
    read = input_files.styled(workdir, config, network.model, read, style)
    # Before anything is computed: a bad file should not cost a minute.
    given = []
    for file in files:
        found = read(file)  # pictures of many sizes, which may be large, are read again
        given.append(found.network if resizing.one_size else None)
    with trained.reader(workdir, config) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        variables = trained.restore(checkpoints, step, network)

    @jax.jit
    def forward(variables: Any, batch: jax.Array) -> Any:
        images = network.normalize(batch)
        method = said(network.model, "predicted")
        return network.model.apply(variables, images, train=False, method=method)

    def results() -> Iterator[tuple[np.ndarray, Any]]:
        if not resizing.one_size:
            for file in files:
                drawn, image = read(file)
                found = jax.device_get(forward(variables, image[None]))
                yield drawn, _row(found, 0)
            return
        size = min(len(given), BATCH)
        for start in range(0, len(given), size):
            batch = np.stack(given[start : start + size])
            # One shape for all batches, one compilation.
            missing = np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)
            padded = np.concatenate([batch, missing])
            found = jax.device_get(forward(variables, padded))
            for i, image in enumerate(batch):
                if not resizing.drawn_on_image:
                    image = read(files[start + i]).drawn
                yield image, _row(found, i)

    return Applied(network.task, step, results())


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
      style: see `apply`.

    Raises:
      UserError: as `apply`, or the folder is a file, holds some of the pictures, or
        would get two of one name.
    """
    found = files_in(workdir, paths)
    files = [file for file, _ in found]
    targets = targets_of(found, drawings) if drawings else [None] * len(files)
    network = apply(workdir, files, checkpoint, style)
    task, answers = network.task, []
    for (picture, output_of_it), target in zip(network.results, targets, strict=True):
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], output_of_it)
        answers += task.answers([picture], one, top_k or task.answered)
        if target:
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(task.drawn(picture, output_of_it)).save(target)
    show(files, answers, output, task.shares)


def _row(outputs: Any, number: int) -> Any:
    return jax.tree.map(lambda rows: rows[number], outputs)


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
    name = run_folder.saved_config(workdir).data.name
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
