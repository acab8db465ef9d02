"""What a run's network makes of the user's pictures."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image
from tabulate import tabulate

from cnn_jax import data
from cnn_jax.data import images, restoration
from cnn_jax.data.folder import below
from cnn_jax.errors import UserError
from cnn_jax.tasks import verification
from cnn_jax.training import config as config_lib
from cnn_jax.training import run, trained
from cnn_jax.training import workdir as folder

BATCH = 32


class Applied(NamedTuple):
    """A run's network, applied to pictures.

    Attributes:
      step: of the checkpoint.
      pictures: those that were read, as they are drawn on.
      outputs: what the network makes of them, batch by batch.
    """

    task: Any
    step: int
    pictures: list[np.ndarray]
    outputs: Iterator[Any]


def apply(
    workdir: Path, files: Sequence[Path], checkpoint: str, style: Path | None = None
) -> Applied:
    """The run's network on pictures, of a run of clips or volumes on such: its outputs
    come in batches, on the host.

    Args:
      style: the picture whose style they get, where the network takes any.

    Raises:
      UserError: a file cannot be read, the run is one of one picture that is not the
        given one, or the network needs a style, or takes none.
    """
    config = folder.saved_config(workdir)
    dataset = folder.saved_dataset(workdir)
    styled = dataset.label_kind == "style"
    if config.data.get("keep_pixels", 1) < 1:
        raise UserError(
            f"the run in {workdir} sees a part of the pixels of its own images "
            "(data.keep_pixels): it cannot see pictures as it was trained."
        )
    network = run.network(config, dataset)
    if bool(style) != getattr(network.model, "any_style", False):
        raise UserError(
            f"the run in {workdir} knows no style but its own: leave out --style."
            if style
            else f"the run in {workdir} takes any style: set --style=PICTURE."
        )
    # Read before anything is computed: a bad file should not cost a minute.
    shape, fitted = dataset.image_shape, network.task.fitted
    if fitted == "centre":
        read = _stored(config).read
        options = config_lib.arguments(config.data, read)
        options.pop("name", None)  # of the source, and not of a picture
        pictures = inputs = [
            read(file, shape, dataset.crop, **options) for file in files
        ]
    else:
        read = [images.read_image(file) for file in files]
        pictures = [np.asarray(picture) for picture in read]
        if fitted == "stretched":
            pictures = [np.asarray(picture.convert("RGB")) for picture in read]
            inputs = [images.stretch(picture, shape) for picture in read]
        else:
            inputs = [restoration.as_read(picture, shape[-1]) for picture in pictures]
    if styled:
        inputs = _to_stylise(workdir, config, network.model, inputs, files, style)
    with trained.reader(workdir, config) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        variables = trained.restore(checkpoints, step, network, config)

    @jax.jit
    def forward(variables: Any, batch: jax.Array) -> Any:
        images = network.normalize(batch)
        # What makes the picture alone, and no maps to compare it by.
        method = "stylised" if styled else None
        return network.model.apply(variables, images, train=False, method=method)

    def outputs() -> Iterator[Any]:
        size = 1 if fitted == "as it is" else min(len(inputs), BATCH)
        for start in range(0, len(inputs), size):
            batch = np.stack(inputs[start : start + size])
            # One shape for all batches, one compilation.
            missing = np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)
            padded = np.concatenate([batch, missing])
            found = jax.device_get(forward(variables, padded))
            yield _rows(found, slice(len(batch)))

    return Applied(network.task, step, pictures, outputs())


def _to_stylise(
    workdir: Path,
    config: config_lib.Config,
    model: Any,
    contents: Sequence[np.ndarray],
    files: Sequence[Path],
    style: Path | None,
) -> list[np.ndarray]:
    """The contents as the network takes them: beside the style, or the run's own."""
    if style:
        return [np.stack([x, images.fit(style, x.shape)]) for x in contents]
    if not model.one_picture:
        return list(contents)
    ((own, _),) = run.dataset(config).splits["test"].images
    fitted = [images.fit(file, own.shape) for file in files]
    for file, content in zip(files, fitted, strict=True):
        if not np.array_equal(content, own):
            raise UserError(
                f"the run in {workdir} changed one picture, "
                f"{config.data.file or 'an embedded one'}, and can change no other: "
                f"{file} needs a run of its own."
            )
    return fitted


def predict(
    workdir: Path,
    paths: Sequence[Path],
    *,
    top_k: int = 5,
    checkpoint: str = "best",
    output: str = "table",
    drawings: Path | None = None,
    style: Path | None = None,
) -> None:
    """Prints what the task says of each picture.

    Args:
      paths: pictures, and folders of them; of a run of clips or volumes, such.
      top_k: at most so many things are said of each.
      output: "table" or "json".
      drawings: a folder that gets the task's own picture of each, `NAME.png`.
      style: see `apply`.

    Raises:
      UserError: as `apply`, or two pictures would be written to one file.
    """
    files = _files(workdir, paths)
    targets = _targets(files, drawings) if drawings else []
    network = apply(workdir, files, checkpoint, style)
    answers = []
    for found in network.outputs:
        done = len(answers)
        shown = network.pictures[done : done + len(jax.tree.leaves(found)[0])]
        answers += network.task.answers(shown, found, top_k)
        for i, target in enumerate(targets[done : len(answers)]):
            target.parent.mkdir(parents=True, exist_ok=True)
            drawn = network.task.drawn(shown[i], _rows(found, i))
            Image.fromarray(drawn).save(target)
    _print(files, answers, output)


def verify(
    workdir: Path,
    pair: tuple[Path, Path],
    *,
    checkpoint: str = "best",
    output: str = "table",
    threshold: float | None = None,
) -> None:
    """Prints whether two pictures show the same identity.

    Args:
      threshold: the least cosine of the same identity; None: the one that was best on
        the run's test pairs.

    Raises:
      UserError: as `apply`, or the run has no embeddings.
    """
    vectors, step = _embeddings(workdir, pair, checkpoint)
    if threshold is None:
        threshold = _threshold(workdir, step, "threshold")
    cosine = float(verification.cosine_similarities(vectors)[0, 1])
    answer = {
        "same": cosine >= threshold,
        "cosine": cosine,
        "threshold": threshold,
    }
    _print([f"{pair[0]} and {pair[1]}"], [[answer]], output)


def identify(
    workdir: Path,
    paths: Sequence[Path],
    gallery: Path,
    *,
    top_k: int = 5,
    checkpoint: str = "best",
    output: str = "table",
    threshold: float | None = None,
) -> None:
    """Prints whom of a gallery each picture shows.

    Args:
      gallery: a folder with a folder of pictures, or one picture, of each identity.
      threshold: who is less alike is nobody of the gallery; None: the one at which one
        in ten of the run's test pictures of others raised a false alarm.

    Raises:
      UserError: as `apply`, or the run has no embeddings.
    """
    files, known = _files(workdir, paths), _files(workdir, [gallery])
    names = [
        file.stem if file.parent == gallery else file.parent.name for file in known
    ]
    vectors, step = _embeddings(workdir, [*files, *known], checkpoint)
    if threshold is None:
        threshold = _threshold(workdir, step, "threshold_at_fpir_0.1")
    table = verification.cosine_similarities(vectors)[: len(files), len(files) :]
    answers = []
    for row in table:
        nearest = {}
        for i in np.argsort(-row, kind="stable"):
            nearest.setdefault(names[i], float(row[i]))
        found = [
            {"identity": name, "cosine": cosine}
            for name, cosine in list(nearest.items())[:top_k]
            if cosine >= threshold
        ]
        best = max(nearest.values())
        nobody = {"identity": None, "cosine": best}
        answers.append(found or [nobody])
    _print(files, answers, output)


def _embeddings(
    workdir: Path, files: Sequence[Path], checkpoint: str
) -> tuple[np.ndarray, int]:
    """One row a picture, and the step of the checkpoint."""
    network = apply(workdir, files, checkpoint)
    if network.task.output_kind != "embedding":
        raise UserError(
            f"the run in {workdir} has no embeddings: one of "
            "--config=configs/faces.py has."
        )
    return np.concatenate(
        [found["embedding"] for found in network.outputs]
    ), network.step


def _threshold(workdir: Path, step: int, name: str) -> float:
    """A threshold that was measured on the run's test pictures after `step` steps."""
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines):
        if row["step"] == step and f"test/{name}" in row:
            return row[f"test/{name}"]
    raise UserError(
        f"the run in {workdir} measured no threshold at step {step}: set --threshold."
    )


def _rows(outputs: Any, which: int | slice) -> Any:
    return jax.tree.map(lambda rows: rows[which], outputs)


def _print(
    files: Sequence[Path | str], answers: Sequence[list[dict]], output: str
) -> None:
    if output == "json":
        found = [
            {"image": str(path), "predictions": rows}
            for path, rows in zip(files, answers, strict=True)
        ]
        print(json.dumps(found, indent=2), flush=True)
        return
    names = list(dict.fromkeys(key for rows in answers for row in rows for key in row))
    lines = [
        [
            str(path) if number == 0 else "",
            *(_text(name, row.get(name)) for name in names),
        ]
        for path, rows in zip(files, answers, strict=True)
        for number, row in enumerate(rows or [{}])  # a picture with nothing in it too
    ]
    table = tabulate(
        lines,
        headers=["image", *names],
        colalign=("left", "left", *["right"] * len(names))[: len(names) + 1],
        disable_numparse=True,
    )
    print(table, flush=True)


SHARES = ("probability", "share", "score")  # answers in per cent


def _text(name: str, value: Any) -> str:
    """An answer in the table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2%}" if name in SHARES else f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def _stored(config: config_lib.Config) -> data.Stored:
    """How the files that the run takes are stored."""
    return data.STORED.get(config.data.name, data.PICTURES)


def _files(workdir: Path, paths: Sequence[Path]) -> list[Path]:
    """The pictures, or what else the run takes: the paths themselves, or what is in
    them and the folders below."""
    kind = _stored(folder.saved_config(workdir)).kind
    files = []
    for path in paths:
        found = below(path, kind)
        if not found:
            raise UserError(f"there are no {kind.name} in {path}.")
        files += found
    return files


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
