"""What a run's network makes of the user's pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from tabulate import tabulate

from cnn_jax.data import images, restoration
from cnn_jax.data.folder import pictures_below
from cnn_jax.errors import UserError
from cnn_jax.training import run, trained
from cnn_jax.training import workdir as folder

BATCH = 32


def predict(
    workdir: Path,
    paths: Sequence[Path],
    *,
    top_k: int = 5,
    checkpoint: str = "best",
    output: str = "table",
    drawings: Path | None = None,
) -> None:
    """Prints what the task says of each picture.

    Args:
      paths: pictures, and folders of them.
      top_k: at most so many things are said of each.
      output: "table" or "json".
      drawings: a folder that gets the task's own picture of each, `NAME.png`.

    Raises:
      UserError: a picture cannot be read, two would be written to one file, or the run
        is one of clips.
    """
    config = folder.saved_config(workdir)
    dataset = folder.saved_dataset(workdir)
    if len(dataset.image_shape) == 4:
        raise UserError(
            f"the run in {workdir} is one of clips, and pictures are none: "
            "python -m cnn_jax.evaluate measures it."
        )
    if config.data.get("keep_pixels", 1) < 1:
        raise UserError(
            f"the run in {workdir} sees a part of the pixels of its own images "
            "(data.keep_pixels): it cannot see pictures as it was trained."
        )
    files = [file for path in paths for file in _pictures_in(path)]
    targets = _targets(files, drawings) if drawings else []
    network = run.network(config, dataset)
    # Read before anything is computed: a bad file should not cost a minute.
    if network.task.whole:
        channels = dataset.image_shape[-1]
        pictures = [np.asarray(images.read_image(file)) for file in files]
        inputs = [restoration.as_read(picture, channels) for picture in pictures]
    else:
        pictures = inputs = [
            images.fit(file, dataset.image_shape, dataset.crop) for file in files
        ]
    with trained.reader(workdir, config) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        variables = trained.restore(checkpoints, step, network, config)

    @jax.jit
    def forward(variables: Any, batch: jax.Array) -> Any:
        return network.model.apply(variables, network.normalize(batch), train=False)

    answers = []
    size = 1 if network.task.whole else min(len(inputs), BATCH)
    for start in range(0, len(inputs), size):
        batch = np.stack(inputs[start : start + size])
        # One shape for all batches, one compilation.
        padded = np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)])
        found = jax.device_get(forward(variables, padded))
        answers += network.task.answers(_rows(found, slice(len(batch))), top_k)
        for i, target in enumerate(targets[start : start + size]):
            target.parent.mkdir(parents=True, exist_ok=True)
            picture = network.task.drawn(pictures[start + i], _rows(found, i))
            Image.fromarray(picture).save(target)
    _print(files, answers, output)


def _rows(outputs: Any, which: int | slice) -> Any:
    return jax.tree.map(lambda rows: rows[which], outputs)


def _print(files: Sequence[Path], answers: Sequence[list[dict]], output: str) -> None:
    if output == "json":
        found = [
            {"image": str(path), "predictions": rows}
            for path, rows in zip(files, answers, strict=True)
        ]
        print(json.dumps(found, indent=2), flush=True)
        return
    names = list(dict.fromkeys(key for rows in answers for row in rows for key in row))
    lines = [
        [str(path) if number == 0 else "", *(_text(row.get(name)) for name in names)]
        for path, rows in zip(files, answers, strict=True)
        for number, row in enumerate(rows or [{}])
    ]
    table = tabulate(
        lines,
        headers=["image", *names],
        colalign=("left", "left", *["right"] * (len(names) - 1)),
        disable_numparse=True,
    )
    print(table, flush=True)


def _text(value: Any) -> str:
    """A share as per cent, all else as it is."""
    return f"{value:.2%}" if isinstance(value, float) else str(value or "")


def _pictures_in(path: Path) -> list[Path]:
    """The picture itself, or those in a folder and the folders below it."""
    if not path.is_dir():
        return [path]
    found = pictures_below(path)
    if not found:
        raise UserError(f"there are no pictures in {path}.")
    return found


def _targets(files: Sequence[Path], drawings: Path) -> list[Path]:
    """Where the task's picture of each file is written."""
    targets = [drawings / f"{file.stem}.png" for file in files]
    for number, target in enumerate(targets):
        if target in targets[:number]:
            first = files[targets.index(target)]
            raise UserError(
                f"{first} and {files[number]} would both be written to {target}: "
                "predict them one after the other, into two folders."
            )
        if target.exists() and target.samefile(files[number]):
            raise UserError(
                f"--output={drawings} would write over {target}: take another folder."
            )
    return targets
