"""What is learned.

A task is an object with

* `label_kind` and `output_kind`, keys of `data.dataset.LABELS` and `models.OUTPUTS`;
* `loss(outputs, batch, auxiliary)`, what training minimizes;
* `metrics(outputs, batch)`, as pairs (sum, count), and `scores(totals, rows)`, the
  numbers that their sums over a split stand for; `best_metric` is the score by which
  checkpoints are compared, the greatest being the best;
* `predictions(outputs, batch)`, a row an example, among them its `error`: examples of
  greatest error are shown; `collected` names the entries of these rows and of the batch
  of which `scores` and `summaries` need every example's, where no sum will do;
* `summaries(totals, worst, rows)`, pictures of an evaluation by name;
* `fitted`, how `predict` brings pictures to the network, one of `images.FITTED`;
* `answers(pictures, outputs, k)`, what `predict` says of each picture, at most `k`
  dicts, `answered` of them unless it is told otherwise (None: as many as the task is
  sure of), and `drawn(picture, output)`, the picture that it writes.
"""

from collections.abc import Callable

from cnn_jax.tasks.action_recognition import ActionRecognition
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.detection import Detection
from cnn_jax.tasks.embedding import Embedding
from cnn_jax.tasks.enhancement import Enhancement
from cnn_jax.tasks.localization import Localization
from cnn_jax.tasks.segmentation import Segmentation
from cnn_jax.tasks.style_transfer import StyleTransfer

TASKS: dict[str, Callable] = {
    "action_recognition": ActionRecognition,
    "classification": Classification,
    "detection": Detection,
    "embedding": Embedding,
    "enhancement": Enhancement,
    "localization": Localization,
    "segmentation": Segmentation,
    "style_transfer": StyleTransfer,
}
