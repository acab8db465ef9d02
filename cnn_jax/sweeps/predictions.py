"""Reads the predictions that a run keeps for the examples of the test split."""

import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn_jax.core import records
from cnn_jax.core.records import Damaged
from cnn_jax.training.predictions import FILE

# The arrays that are read, and the kinds of their dtypes.
KINDS = {"identity": "U", "index": "iu", "label": "iu", "prediction": "iu"}


@dataclass(frozen=True)
class Predictions:
    """A run's predictions, sorted by the identities of the test examples.

    Attributes:
      examples: a hash of the identities; equal for runs with the same test examples.
      index: the position of each example in the run's test split.
      label: the class of each example.
      correct: whether the predicted class is the label.
    """

    examples: str
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @functools.cached_property
    def accuracy(self) -> float:
        """The share of the examples that are classified correctly."""
        return float(self.correct.mean())

    def agrees(self, accuracy: float) -> bool:
        """Returns whether the predictions have this accuracy, except for rounding."""
        return abs(self.accuracy - accuracy) < 0.5 / len(self.correct)


def read(workdir: Path) -> Predictions | None:
    """Returns the predicted classes in a run's folder; None if the run has kept none.

    Raises:
      Damaged: the file is damaged.
      UserError: see `records.read_bytes`.
    """
    path = workdir / FILE
    try:
        content = records.read_bytes(path)
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if any(name.startswith("prediction_") for name in file):
                return None  # a regression: predicted numbers
            arrays = {name: file[name] for name in KINDS}
    except Exception as error:  # NumPy, zipfile and zlib raise many types
        raise Damaged(f"{path} is damaged ({error}).") from None
    for name, kinds in KINDS.items():
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kinds:
            found = f"{arrays[name].dtype}{list(arrays[name].shape)}"
            raise Damaged(f"{path} is damaged ('{name}' has the type {found}).")
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) > 1 or not sizes.pop():
        raise Damaged(f"{path} is damaged (its arrays are empty or differ in length).")
    return _sorted(**arrays)


def _sorted(
    identity: np.ndarray, index: np.ndarray, label: np.ndarray, prediction: np.ndarray
) -> Predictions:
    order = np.lexsort((index, identity))
    # The texts need most of the memory, so only a hash of them is kept.
    texts = "\n".join(identity[order].tolist())
    return Predictions(
        examples=hashlib.sha256(texts.encode()).hexdigest(),
        index=index[order].astype(np.int64),
        label=label[order].astype(np.int64),
        correct=(prediction == label)[order],
    )
