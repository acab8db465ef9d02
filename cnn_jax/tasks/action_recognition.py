"""Action recognition: classification of videos from several clips of each video."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.metrics import Rows, Totals
from cnn_jax.tasks.task import Batch


@dataclass(frozen=True)
class ActionRecognition(Classification):
    """Classification of clips that also measures the accuracy on whole videos.

    The probabilities of a video are the mean of the probabilities of its clips
    (Carreira and Zisserman 2017; Tran et al. 2018, section 4.1). If the data have no
    videos, each example counts as one video.
    """

    best_metric: ClassVar[str] = "video_accuracy"

    @property
    def collected(self) -> tuple[str, ...]:
        """The entries that the scores of videos and of `Classification` need."""
        return (*super().collected, "label", "video", "probabilities")

    def predictions(
        self, logits: Float[Array, "batch classes"], batch: Batch
    ) -> dict[str, Array]:
        """Returns `Classification.predictions`, and `probabilities` and `video`.

        `probabilities` are the probabilities of all classes for each clip. `video` is
        the number of the video that the clip comes from.
        """
        return super().predictions(logits, batch) | {
            "probabilities": jax.nn.softmax(logits),
            "video": batch.get("video", batch.get("index", jnp.arange(len(logits)))),
        }

    def scores(self, totals: Totals, rows: Rows = ()) -> dict[str, float]:
        """Returns the scores of clips and, in evaluation, the scores of videos.

        The scores of videos are `video_accuracy` and, for each measured k,
        `video_top_<k>_accuracy`.

        Args:
          totals: the summed pairs of `metrics`, over all clips.
          rows: the `collected` entries of each clip.
        """
        found = super().scores(totals, rows)
        if rows:
            labels, chances = videos(rows)
            own = np.take_along_axis(chances, labels[:, None], axis=1)
            rank = (chances >= own).sum(axis=1)  # ties count against the label
            for name, k in self._accuracies().items():
                within = (rank >= 1) & (rank <= k)
                found[f"video_{name}"] = float(within.mean())
        return found


def videos(
    rows: Rows,
) -> tuple[np.ndarray, Float[np.ndarray, "videos classes"]]:
    """Returns the label of each video, and the mean probabilities of its clips.

    Args:
      rows: one row for each clip, with "video", "label" and "probabilities".
    """
    numbers = np.array([row["video"] for row in rows])
    _, first, member = np.unique(numbers, return_index=True, return_inverse=True)
    labels = np.array([row["label"] for row in rows])[first]
    chances = np.stack([row["probabilities"] for row in rows]).astype(np.float64)
    sums = np.zeros((len(first), chances.shape[1]))
    np.add.at(sums, member, chances)
    return labels, sums / np.bincount(member)[:, None]
