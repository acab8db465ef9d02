"""The base class of tasks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnn_jax.core.fit import Fact, Need, Part
from cnn_jax.data import labels
from cnn_jax.data.labels.kind import UNKNOWN, LabelStatistics
from cnn_jax.models import outputs as kinds
from cnn_jax.tasks import pictures
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means
from cnn_jax.tasks.resizing import CENTER_CROP, Resizing

Batch = Mapping[str, Array]
Answers = list[list[dict[str, Any]]]
# The rows of a table; all rows have the same names.
Table = list[dict[str, Any]]

TEACHER = "teacher_outputs"  # the entry of a batch with the outputs of a teacher
MOST_NUMBERS = 16  # an answer lists the numbers of an output up to this size


@dataclass(frozen=True)
class Task(ABC):
    """A task defines the loss and the metrics, and turns model outputs into answers.

    A subclass is a frozen dataclass. It must define `best_metric`, `loss` and
    `metrics`; all other methods have a default. Its keyword-only fields are the keys
    of `config.task`. The type of a field states the allowed range of the key:

        @dataclass(frozen=True)
        class Counting(Task):
            best_metric: ClassVar[str] = "accuracy"
            _: KW_ONLY
            tolerance: NotNegative = 0.5

            def loss(self, outputs, batch, auxiliary=()): ...
            def metrics(self, outputs, batch): ...

    JAX traces `loss`, `metrics` and `predictions`; all other methods get NumPy arrays.
    `outputs` are the model's outputs: an array or a tree of arrays, whose first
    dimension is the batch. `batch` is a dict with uint8 "image"s and their "label"s. In
    evaluation, `batch` also has a float "mask". The mask is 0 for the padding rows of
    the last batch, and 1 for all other rows.

    Attributes:
      classes: the names of the data's classes; empty if the data have no classes.
      label_statistics: the statistics of the training labels, such as the number of
        examples of each class. They are empty if the labels are unknown.
      best_metric: the name of the score that selects the best checkpoint. The
        checkpoint with the greatest score is the best.
      label_kind: the kind of label that the task learns, a name in `data.labels`.
      output_kind: the kind of model output that the task takes, one of
        `models.OUTPUTS`.
      gives: properties of the task that data, model or other parts of a run may
        require; see `core.fit`.
      kept: the names of entries of batches and of `predictions` that `records` turns
        into the predictions that a run keeps of its test split. Empty: the task has no
        such predictions.
      detailed: the names of scores that are left out of the console's line about an
        evaluation.
      resizing: how `predict` resizes an image from a user's file; see
        `tasks.resizing`.
      answered: the number of answers that `predict` gives for a picture; None: all
        answers that the task considers certain enough.
      shares: the names of the entries of an answer that are fractions. `predict` prints
        these entries in per cent.
      mixes: whether the task learns mixtures of two examples: batches may have an
        "other_label" and the "share" of the own label.
      embeds: whether outputs have an "embedding". `predict --verify` and `--identify`
        compare pictures by their embeddings.
    """

    label_kind: ClassVar[str] = "class"
    output_kind: ClassVar[str] = "logits"
    gives: ClassVar[Mapping[str, Any]] = {}
    kept: ClassVar[tuple[str, ...]] = ()
    detailed: ClassVar[tuple[str, ...]] = ()
    resizing: ClassVar[Resizing] = CENTER_CROP
    answered: ClassVar[int | None] = 5
    shares: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[bool] = False
    embeds: ClassVar[bool] = False

    classes: tuple[str, ...] = ()
    label_statistics: LabelStatistics = UNKNOWN

    # ------------------------------------------------------------------------ learning

    @property
    @abstractmethod
    def best_metric(self) -> str:
        """The name of the score that selects the best checkpoint.

        A subclass sets this name as a class attribute.
        """

    @abstractmethod
    def loss(
        self, outputs: Any, batch: Batch, auxiliary: Sequence[Any] = (), /
    ) -> Float[Array, ""]:
        """Returns the training loss: the mean over this device's examples.

        Args:
          outputs: the outputs of the model.
          batch: the batch, with the labels.
          auxiliary: the outputs of the network's auxiliary heads; empty in evaluation.
        """

    @abstractmethod
    def metrics(self, outputs: Any, batch: Batch, /) -> Pairs:
        """Returns the metrics of a batch as pairs (sum, count), by name.

        Training and evaluation add up the sums and the counts over batches.
        `metrics.weighted(values, mask)` makes a pair from one value for each example.
        """

    @property
    def teacher(self) -> str | None:
        """The folder of the run whose outputs the task learns. Default: None.

        Training batches have these outputs as `TEACHER`. A subclass may have this name
        as a field.
        """
        return None

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of the task: what data and model must provide; see `core.fit`.

        A subclass may add further needs.
        """
        label, output = self.label_kind, kinds.kind_of(self.output_kind)
        return (
            Need("label kind", {label}, f"learns {labels.find(label).described}"),
            Need("output kind", {output.name}, f"takes {output.words}", output.advice),
        )

    def part(self, name: str) -> Part:
        """Returns what the task gives and takes, as a `core.fit.Part` of a run.

        Args:
          name: the name of the task in error messages.
        """
        words = "learns " + ("mixtures of classes" if self.mixes else "no mixtures")
        mixtures = {"learns mixtures": Fact(self.mixes, words)}
        return Part(name, mixtures | dict(self.gives), self.takes)

    # ---------------------------------------------------------------------- evaluation

    @property
    def collected(self) -> tuple[str, ...]:
        """The names of entries of batches and of `predictions`. Default: none.

        Evaluation collects these entries of every example for `scores` and
        `summaries`, which cannot be computed from the sums of `metrics`. A subclass may
        set these names as a class attribute.
        """
        return ()

    def scores(self, totals: Totals, rows: Rows = (), /) -> dict[str, float]:
        """Returns the scores of a split. Default: the mean of every metric.

        Args:
          totals: the summed pairs of `metrics`.
          rows: the `collected` entries of every example, in the order of the examples;
            empty in training.
        """
        del rows
        return means(totals)

    def tables(self, totals: Totals, /) -> dict[str, Table]:
        """Returns tables of a split's evaluation by name. Default: none.

        Args:
          totals: see `scores`.
        """
        del totals
        return {}

    def predictions(self, outputs: Any, batch: Batch, /) -> dict[str, Array]:
        """Returns a dict of arrays with one row for each example.

        Evaluation shows the examples with the greatest "error". Default: only "error",
        the loss of each single example.
        """

        def alone(outputs: Any, batch: Batch) -> Float[Array, ""]:
            return self.loss(*jax.tree.map(lambda leaf: leaf[None], (outputs, batch)))

        return {"error": jax.vmap(alone)(outputs, dict(batch))}

    def records(self, rows: Rows, /) -> dict[str, np.ndarray]:
        """Returns the predictions that a run keeps, as columns by name. Default: none.

        A column has one value for each example. Columns named "label" and "prediction"
        are indices of classes; -1 means no class.

        Args:
          rows: the `kept` entries of every example, in the order of the examples.
        """
        del rows
        return {}

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = (), /
    ) -> dict[str, UInt8[np.ndarray, "_height _width 3"]]:
        """Returns pictures of an evaluation by name, for TensorBoard. Default: none.

        Args:
          totals, rows: see `scores`.
          worst: the examples with the greatest error; each is one dict with the
            entries of the batch and of `predictions`.
        """
        del totals, worst, rows
        return {}

    # ---------------------------------------------------------------------- prediction

    def answers(
        self, pictures: Sequence[np.ndarray], outputs: Any, k: int | None, /
    ) -> Answers:
        """Returns a list of answers for each picture, the most certain answer first.

        An answer is a dict of plain values. Default: one answer with the numbers of
        the picture's outputs, or with the shape of a large output.

        Args:
          pictures: the pictures, as read from the user's files.
          outputs: the model's outputs for the pictures.
          k: the greatest number of answers for each picture; None: all answers that the
            task considers certain enough.
        """
        del k
        named = outputs if isinstance(outputs, Mapping) else {"output": outputs}
        return [
            [{name: _listed(rows, number) for name, rows in named.items()}]
            for number in range(len(pictures))
        ]

    def drawn(
        self, picture: UInt8[np.ndarray, "*depth height width channels"], output: Any, /
    ) -> np.ndarray:
        """Returns the picture that `predict` writes, uint8 (height, width, 3).

        Default: the picture, or the frames of a clip, above the first answer.

        Args:
          picture: the picture of a user's file.
          output: the model's output for this picture, without the batch dimension.
        """
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], output)
        (answers,) = self.answers([picture], one, 1)
        said = [
            f"{name} {value}" for best in answers[:1] for name, value in best.items()
        ]
        return pictures.labeled_grid([picture], [", ".join(said)])

    def class_name(self, index: int | np.integer) -> str:
        """Returns the name of the class with this index.

        A pretrained network may have more outputs than the data have classes. The name
        of such an output is "output <index>".
        """
        index = int(index)
        return self.classes[index] if index < len(self.classes) else f"output {index}"


def _listed(rows: Any, number: int) -> str | list[float]:
    """Returns the numbers of the outputs for one picture, rounded to six digits.

    If there are more than `MOST_NUMBERS` numbers, the shapes of the outputs are
    returned as a text.

    Args:
      rows: an array, or a tree of arrays, with one row for each picture.
      number: the index of the picture.
    """
    leaves = [np.asarray(leaf)[number] for leaf in jax.tree.leaves(rows)]
    if sum(leaf.size for leaf in leaves) > MOST_NUMBERS:
        return " and ".join("x".join(map(str, leaf.shape)) for leaf in leaves)
    return [float(f"{number:.6g}") for leaf in leaves for number in leaf.ravel()]
