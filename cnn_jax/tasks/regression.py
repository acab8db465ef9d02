"""Regression: each image or clip has one or more numbers."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import NotNegative
from cnn_jax.tasks import losses, pictures, value_losses
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means, weighted
from cnn_jax.tasks.task import Answers, Batch, Task

Outputs = Float[Array, "batch outputs"]
Values = Float[Array, "batch values"]

# A sum of squares below this share of its terms is rounding, and counts as 0.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Regression(Task):
    """Regression of one or more numbers, measured by R2, MAE and RMSE.

    The network learns standardized targets: the label minus the mean of the training
    labels, divided by their standard deviation. Predictions and scores are in the
    label's own unit.

    Attributes:
      classes: the names of the numbers.
      loss_name: the training loss of the standardized targets: `mean_squared_error`,
        `mean_absolute_error`, `huber(delta=1.0)`, or an import path; see
        `tasks.value_losses`.
      auxiliary_weight: the weight of the loss of each auxiliary head.
    """

    best_metric: ClassVar[str] = "r2"
    label_kind: ClassVar[str] = "values"
    kept: ClassVar[tuple[str, ...]] = ("label", "prediction", "error")

    _: KW_ONLY
    loss_name: str = "mean_squared_error"
    auxiliary_weight: NotNegative = 0.3

    def __post_init__(self):
        losses.find(self.loss_name, value_losses.LOSSES)

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and the statistics of the training labels."""
        known = Need(
            "value statistics",
            {True},
            "learns standardized labels",
            "state Dataset.known_statistics in your data source",
        )
        return (*super().takes, known)

    def loss(
        self, outputs: Outputs, batch: Batch, auxiliary: Sequence[Outputs] = ()
    ) -> Float[Array, ""]:
        """Returns the mean loss over the examples and their numbers.

        The losses of the auxiliary heads are multiplied by `auxiliary_weight` and
        added.
        """
        main, *further = (
            self._losses(rows, batch).mean() for rows in (outputs, *auxiliary)
        )
        return main + self.auxiliary_weight * sum(further)

    def metrics(self, outputs: Outputs, batch: Batch) -> Pairs:
        """Returns the loss, and sums of standardized labels and errors.

        The sums have one entry for each number of a label. `scores` computes the scores
        from these sums.
        """
        mask = batch.get("mask", jnp.ones(len(outputs)))
        targets = self._standardized(batch["label"])
        errors = self._own(outputs) - targets

        def pair(values: Values) -> tuple[Array, Array]:
            return jnp.where(mask[:, None] > 0, values, 0).sum(0), mask.sum()

        return {
            "loss": weighted(self._losses(outputs, batch), mask),
            "absolute_errors": pair(jnp.abs(errors)),
            "squared_errors": pair(errors**2),
            "labels": pair(targets),
            "squared_labels": pair(targets**2),
        }

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns `loss`, `mae`, `rmse` and `r2`.

        `mae` is the mean absolute error, and `rmse` the root of the mean squared error,
        both in the label's unit. `r2` is the coefficient of determination: 1 - (sum of
        squared errors) / (sum of squared differences of the labels from their mean). If
        all labels are equal, `r2` is 1 without errors, and otherwise 0. These scores
        are means over the numbers of a label, as in scikit-learn. If a label has
        several numbers, the result also has `mae/<name>`, `rmse/<name>` and
        `r2/<name>`.
        """
        del rows
        found = means(totals)
        if not totals.get("labels", (0, 0))[1]:
            return found
        count = totals["labels"][1]
        absolute, squared, labels, squared_labels = (
            np.asarray(totals[name][0], np.float64)
            for name in (
                "absolute_errors",
                "squared_errors",
                "labels",
                "squared_labels",
            )
        )
        _, deviation = self._scale()
        spread = squared_labels - labels**2 / count
        constant = spread <= ROUNDING * squared_labels
        exact = squared <= ROUNDING * squared_labels
        scores = {
            "mae": deviation * absolute / count,
            "rmse": deviation * np.sqrt(squared / count),
            "r2": np.where(
                constant,
                exact.astype(np.float64),
                1 - squared / np.where(constant, 1, spread),
            ),
        }
        found |= {name: float(values.mean()) for name, values in scores.items()}
        if len(self.classes) > 1:
            for name, values in scores.items():
                pairs = zip(self.classes, values.tolist(), strict=True)
                found |= {f"{name}/{own}": value for own, value in pairs}
        return found

    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Array]:
        """Returns the `prediction` of each example in the label's unit, and its loss.

        The loss is the `error`. Evaluation shows the examples with the greatest error.
        """
        return {
            "prediction": self._in_unit(outputs),
            "error": self._losses(outputs, batch),
        }

    def records(self, rows: Rows) -> dict[str, np.ndarray]:
        """Returns the labels, the predictions and the loss.

        For a number `angle`, the columns are `label_angle` and `prediction_angle`.
        """
        found: dict[str, np.ndarray] = {}
        for kind in ("label", "prediction"):
            values = np.array([row[kind] for row in rows], np.float32)
            names = (f"{kind}_{name}" for name in self.classes)
            found |= dict(zip(names, values.T, strict=True))
        return found | {"loss": np.array([row["error"] for row in rows], np.float32)}

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns a picture of the images with the greatest errors, as "wrong".

        Each image is above its label and its prediction.
        """
        del totals, rows
        if not worst:
            return {}
        labels = [
            f"{_text(row['label'])} as {_text(row['prediction'])}" for row in worst
        ]
        return {"wrong": pictures.labeled_grid([row["image"] for row in worst], labels)}

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        outputs: Float[np.ndarray, "batch outputs"],
        k: int | None,
    ) -> Answers:
        """Returns one answer for each picture: its predicted numbers by name."""
        del pictures, k
        return [
            [dict(zip(self.classes, row, strict=True))]
            for row in np.asarray(
                self._in_unit(jnp.asarray(outputs)), np.float64
            ).tolist()
        ]

    def _losses(self, outputs: Outputs, batch: Batch) -> Float[Array, " batch"]:
        """Returns the mean loss of each example over its numbers."""
        loss = losses.find(self.loss_name, value_losses.LOSSES)
        targets = self._standardized(batch["label"])
        return loss(self._own(outputs), targets).mean(-1)

    def _own(self, outputs: Outputs) -> Values:
        """Returns the outputs of the label's numbers; a network may have more."""
        return outputs[:, : len(self.classes)]

    def _standardized(self, labels: Values) -> Values:
        mean, deviation = self._scale()
        return (labels - mean) / deviation

    def _in_unit(self, outputs: Outputs) -> Values:
        mean, deviation = self._scale()
        return self._own(outputs) * deviation + mean

    def _scale(
        self,
    ) -> tuple[Float[np.ndarray, " values"], Float[np.ndarray, " values"]]:
        """Returns the mean and the standard deviation of the training labels.

        Without data, as in a benchmark, they are 0 and 1.
        """
        known, count = self.label_statistics, len(self.classes)
        mean, deviation = known.mean or (0.0,) * count, known.std or (1.0,) * count
        return np.array(mean, np.float32), np.array(deviation, np.float32)


def _text(values: Float[np.ndarray, " values"]) -> str:
    return " ".join(f"{value:.3g}" for value in values.tolist())
