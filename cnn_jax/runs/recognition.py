"""Compares the identities (such as persons) in pictures with a run's embeddings.

Verification says whether two pictures show the same identity. Identification finds the
identity of a picture in a gallery.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.core.names import key
from cnn_jax.runs import config_json, loaded, trained
from cnn_jax.runs.prediction import files_in, show, targets_of
from cnn_jax.tasks import pictures, verification
from cnn_jax.training import metrics_log


def verify(
    workdir: Path,
    pair: tuple[Path, Path],
    *,
    checkpoint: str | None = None,
    output: str = "table",
    drawings: Path | None = None,
    threshold: float | None = None,
) -> None:
    """Prints whether two pictures show the same identity.

    Args:
      workdir: the run's folder.
      pair: the files of the two pictures.
      checkpoint: see `trained.chosen_step`.
      output: "table" or "json".
      drawings: a folder for an image of the two pictures side by side, `A-B.png`.
      threshold: the smallest cosine similarity that counts as the same identity; None
        takes the best threshold on the run's validation pairs.

    Raises:
      UserError: as `prediction.predict`, or if the run has no embeddings.
    """
    place = Path(f"{pair[0].stem}-{pair[1].stem}.png")
    targets = drawings and targets_of([(file, place) for file in pair[:1]], drawings)
    shown, vectors, step = _embeddings(workdir, pair, checkpoint)
    if threshold is None:
        threshold = _threshold(workdir, step, "threshold")
    cosine = float(verification.cosine_similarities(vectors)[0, 1])
    answer = {
        "same": cosine >= threshold,
        "cosine": cosine,
        "threshold": threshold,
    }
    if targets:
        label = f"{'same' if answer['same'] else 'different'}, {cosine:.2f}"
        _draw(targets[0], shown, (0, 1), label)
    show([f"{pair[0]} and {pair[1]}"], [[answer]], output)


def identify(
    workdir: Path,
    paths: Sequence[Path],
    gallery: Path,
    *,
    top_k: int = 5,
    checkpoint: str | None = None,
    output: str = "table",
    drawings: Path | None = None,
    threshold: float | None = None,
) -> None:
    """Prints the identities of a gallery that each picture resembles most.

    Args:
      workdir: the run's folder.
      paths: pictures and folders of pictures.
      gallery: a folder with one picture, or one folder of pictures, per identity.
      top_k: the largest number of identities per picture.
      checkpoint: see `trained.chosen_step`.
      output: "table" or "json".
      drawings: a folder for an image of each picture beside the nearest picture of the
        gallery.
      threshold: the smallest cosine similarity of a match. If all similarities are
        smaller, the picture shows nobody of the gallery. None takes the threshold that
        gave a false positive identification rate (FPIR) of 0.1 on the run's
        validation pictures.

    Raises:
      UserError: as `prediction.predict`, or if the run has no embeddings.
    """
    probes, enrolled = (files_in(workdir, where) for where in (paths, [gallery]))
    targets = targets_of(probes, drawings) if drawings else [None] * len(probes)
    files, known = ([file for file, _ in found] for found in (probes, enrolled))
    names = [
        key(file.stem if file.parent == gallery else file.parent.name) for file in known
    ]
    shown, vectors, step = _embeddings(workdir, [*files, *known], checkpoint)
    if threshold is None:
        threshold = _threshold(workdir, step, "threshold_at_fpir_0.1")
    table = verification.cosine_similarities(vectors)[: len(files), len(files) :]
    answers = []
    for number, (row, target) in enumerate(zip(table, targets, strict=True)):
        nearest: dict[str, float] = {}
        for i in np.argsort(-row, kind="stable"):
            nearest.setdefault(names[i], float(row[i]))
        found = [
            {"identity": name, "cosine": cosine}
            for name, cosine in list(nearest.items())[:top_k]
            if cosine >= threshold
        ]
        best = int(row.argmax())
        nobody = [{"identity": None, "cosine": float(row[best])}]
        answers.append(found or nobody)
        if target:
            label = f"{names[best] if found else 'nobody'}, {row[best]:.2f}"
            _draw(target, shown, (number, len(files) + best), label)
    show(files, answers, output)


def _draw(
    target: Path, shown: Sequence[np.ndarray], pair: tuple[int, int], label: str
) -> None:
    """Writes an image of two pictures side by side into a file.

    Args:
      target: the file.
      shown: all pictures, as the network's inputs.
      pair: the indices of the two pictures in `shown`.
      label: the text of the image.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pictures.compared(shown, [pair], [label])).save(target)


def _embeddings(
    workdir: Path, files: Sequence[Path], checkpoint: str | None
) -> tuple[list[np.ndarray], np.ndarray, int]:
    """Computes the embeddings of pictures.

    Returns:
      The pictures as the network's inputs, their embeddings, and the number of training
      steps of the checkpoint.
    """
    run = loaded.load(workdir, checkpoint)
    if not run.task.embeds:
        raise UserError(
            f"the run in {workdir} has no embeddings: train another run with "
            "--config=configs/faces.py."
        )
    shown, vectors = [], []
    for picture, found in run.outputs(files):
        shown.append(picture)
        vectors.append(found["embedding"])
    return shown, np.stack(vectors), run.step


def _threshold(workdir: Path, step: int, name: str) -> float:
    """Returns a threshold that the run measured on its validation split.

    Args:
      workdir: the run's folder.
      step: the number of training steps after which the threshold was measured.
      name: the name of the threshold among the metrics.

    Raises:
      UserError: if the run measured no threshold, or the record is damaged.
    """
    saved = config_json.read(workdir)
    split = trained.chosen_on(saved)
    with trained.reader(saved) as checkpoints:
        scores = checkpoints.scores(step)
    if scores:
        rows = [{"step": step, **scores}]
    else:  # an old version, which kept scores only in metrics.jsonl
        rows, _ = metrics_log.read(workdir)
    for row in rows:
        found = row.get(f"{split}/{name}")
        if row["step"] == step and isinstance(found, int | float):
            return found
    raise UserError(
        f"the run in {workdir} measured no threshold on validation pictures at step "
        f"{step}: set --threshold=COSINE, or train a run with config.data.val=0.2."
    )
