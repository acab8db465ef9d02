"""Embedding: the network maps each picture to a vector that represents its identity.

Training and evaluation use different identities.
"""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Count, NotNegative, Positive, Range
from cnn_jax.tasks import embeddings, pictures, verification
from cnn_jax.tasks.metrics import Pairs, Rows, Totals, means
from cnn_jax.tasks.task import Answers, Batch, Task

Outputs = dict[str, Float[Array, "batch features"]]

# Each loss on embeddings with its published margin and the range of its margin. Margins
# are angles in radians (arcface), distances of unit vectors (contrastive, batch hard)
# or squared distances (semi-hard).
LOSSES: dict[str, tuple[Callable[..., Array], float, Range]] = {
    "arcface": (embeddings.arcface, 0.5, Range(least=0, most=1.57)),
    "contrastive": (embeddings.contrastive, 1.0, Range(above=0, most=2)),
    "batch_hard_triplet": (embeddings.batch_hard_triplet, 0.2, Range(least=0, most=2)),
    "semi_hard_triplet": (embeddings.semi_hard_triplet, 0.2, Range(least=0, most=4)),
}
PAIRS = 8  # of each kind in the pictures


@dataclass(frozen=True)
class Embedding(Task):
    """Training with a loss on embeddings, evaluated by verification and identification.

    Verification and identification compare pictures by the cosine similarity of their
    embeddings; see `tasks.verification`.

    Attributes:
      classes: the names of the identities in the training data.
      loss_name: the name of the loss in `LOSSES`.
      margin: the margin of the loss; None: the margin of the loss's paper.
      scale: the factor by which "arcface" multiplies cosines; other losses ignore it.
      photos: the number of pictures of each identity in the gallery, for
        identification.
    """

    best_metric: ClassVar[str] = "auc"
    output_kind: ClassVar[str] = "embedding"
    collected: ClassVar[tuple[str, ...]] = ("image", "label", "embedding")
    embeds: ClassVar[bool] = True

    _: KW_ONLY
    loss_name: str = "arcface"
    margin: NotNegative | None = None
    scale: Positive = 30.0
    photos: Count = 1

    def __post_init__(self):
        if self.loss_name not in LOSSES:
            raise unknown("config.task.loss_name", self.loss_name, LOSSES)
        _, _, margins = LOSSES[self.loss_name]
        if self.margin is not None and self.margin not in margins:
            raise UserError(
                f"config.task.margin={self.margin} of {self.loss_name} must be "
                f"{margins}."
            )

    @property
    def takes(self) -> tuple[Need, ...]:
        """The needs of every task, and a limit on the number of test pictures."""
        few = Need(
            "test examples",
            Range(most=verification.MOST),
            "compares all pairs of test pictures, with a limit of "
            f"{verification.MOST:,} pictures",
            f"set config.data.test_examples={verification.MOST}",
        )
        return (*super().takes, few)

    def loss(
        self, outputs: Outputs, batch: Batch, auxiliary: Sequence[Array] = ()
    ) -> Float[Array, ""]:
        """Returns the loss over the examples, pairs or triplets of this device."""
        del auxiliary
        loss, margin, _ = LOSSES[self.loss_name]
        given = {"margin": margin if self.margin is None else self.margin}
        key = "embedding"
        if self.loss_name == "arcface":
            key, given["scale"] = "cosine", self.scale
        return loss(outputs[key], batch["label"], batch.get("mask"), **given)

    def metrics(self, outputs: Outputs, batch: Batch) -> Pairs:
        """Returns the training loss and, with "arcface", the training accuracy.

        In evaluation the result is empty, because the identities of the test pictures
        are not among the training classes. `scores` computes the evaluation's scores.
        """
        if "mask" in batch:
            return {}
        pairs = {"loss": (self.loss(outputs, batch), jnp.ones(()))}
        if self.loss_name == "arcface":
            right = outputs["cosine"].argmax(-1) == batch["label"]
            pairs["accuracy"] = (right.sum(), jnp.array(len(right)))
        return pairs

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the mean metrics and, in evaluation, scores of comparing pictures.

        The scores of verification (`verification.verification_scores`) are computed
        over all pairs of pictures. If some identities have more than `photos` pictures,
        the result also has two kinds of scores of identification:

        * `rank_1`, as in `verification.rank_1`.
        * `verification.open_set_scores`. The gallery contains every second identity
          that has more than `photos` pictures.

        Raises:
          UserError: there are too many pictures; see `verification.check_count`.
        """
        found = means(totals)
        if rows:
            verification.check_count(len(rows))
            similarities, labels = _compared(rows)
            curve, _ = _curve(similarities, labels)
            found |= verification.verification_scores(curve)
            names, counts = np.unique(labels, return_counts=True)
            several = names[counts > self.photos]
            if len(several):
                found["rank_1"] = verification.rank_1(similarities, labels, self.photos)
                found |= verification.open_set_scores(
                    similarities, labels, several[::2], photos=self.photos
                )
        return found

    def predictions(self, outputs: Outputs, batch: Batch) -> dict[str, Array]:
        """Returns the `embedding` of each example, and an `error` of zero.

        A single example has no error, because errors belong to pairs of examples.
        `summaries` shows the pairs with the greatest errors.
        """
        return {
            "embedding": outputs["embedding"],
            "error": jnp.zeros(len(outputs["embedding"])),
        }

    def summaries(
        self, totals: Totals, worst: Rows, rows: Rows = ()
    ) -> dict[str, np.ndarray]:
        """Returns pictures of the ROC curve ("roc") and of the hardest pairs.

        "impostors" shows the most similar pairs of pictures of different identities.
        "mates" shows the least similar pairs of pictures of one identity.
        """
        del totals, worst
        if not rows:
            return {}
        similarities, labels = _compared(rows)
        curve, (first, second) = _curve(similarities, labels)
        result = {"roc": pictures.roc_curve(curve.far, curve.tar, curve.impostors)}
        values = similarities[first, second]
        same = labels[first] == labels[second]
        hardest = verification.hardest(values, same, PAIRS)
        images = [row["image"] for row in rows]
        for name, chosen in zip(("impostors", "mates"), hardest, strict=True):
            result[name] = pictures.compared(
                images,
                [(int(first[i]), int(second[i])) for i in chosen],
                [f"{values[i]:.2f}" for i in chosen],
            )
        return result

    def answers(
        self,
        pictures: Sequence[np.ndarray],
        outputs: dict[str, np.ndarray],
        k: int | None,
    ) -> Answers:
        """Returns the training identities that are nearest to each picture.

        Args:
          pictures: the pictures, one for each row of the outputs; not used.
          outputs: the network's outputs.
          k: the number of identities for each picture; None: all identities.

        Raises:
          UserError: the loss is not "arcface", so the network has no identities.
        """
        del pictures
        if self.loss_name != "arcface":
            raise UserError(
                "a network that is trained with "
                f"config.task.loss_name={self.loss_name} compares pictures, and has no "
                "list of identities: use --verify, or --identify and --gallery."
            )
        return [
            [
                {"identity": self.classes[i], "cosine": float(row[i])}
                for i in np.argsort(-row, kind="stable")[:k]
            ]
            for row in outputs["cosine"]
        ]

    def drawn(
        self,
        image: UInt8[np.ndarray, "height width channels"],
        outputs: dict[str, np.ndarray],
    ) -> np.ndarray:
        """Returns the image above the nearest identity of the training data."""
        one = {name: value[None] for name, value in outputs.items()}
        ((best,),) = self.answers([image], one, 1)
        label = f"{best['identity']} {best['cosine']:.2f}"
        return pictures.labeled_grid([image], [label])


def _compared(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Returns the similarities of all pairs of pictures, and each picture's identity.

    Args:
      rows: one row for each picture, with "embedding" and "label".
    """
    vectors = np.stack([row["embedding"] for row in rows])
    labels = np.array([row["label"] for row in rows])
    return verification.cosine_similarities(vectors), labels


def _curve(similarities: np.ndarray, labels: np.ndarray):
    """Returns the ROC curve of all pairs of pictures, and the two indices of each pair.

    Args:
      similarities: the matrix of the similarities of all pictures.
      labels: the identity of each picture.
    """
    first, second = verification.all_pairs(len(labels))
    genuine = labels[first] == labels[second]
    return verification.roc(similarities[first, second], genuine), (first, second)
