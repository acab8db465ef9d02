"""What is learned.

A task is an object with `loss`, `metrics` and `summaries`; `predictions`, which say
of each example how wrong the network is; `top`, which `predict` prints; and
`best_metric`, the one by which checkpoints are compared.
"""

from collections.abc import Callable

from cnn_jax.tasks.classification import Classification

TASKS: dict[str, Callable] = {"classification": Classification}
