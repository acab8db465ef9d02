"""What is learned.

A task is an object with `loss`, `metrics`, `scores` (the numbers that the sums of the
metrics stand for) and `summaries`; `predictions`, which say of each example how wrong
the network is; `top`, which `predict` prints; `best_metric`, the one by which
checkpoints are compared; and `per_pixel`, whether labels and logits are one a pixel.
"""

from collections.abc import Callable

from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.segmentation import Segmentation

TASKS: dict[str, Callable] = {
    "classification": Classification,
    "segmentation": Segmentation,
}
