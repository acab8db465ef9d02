"""What is learned. A task is an object with `loss`, `metrics` and `summaries`."""

from collections.abc import Callable

from cnn_jax.tasks.classification import Classification

TASKS: dict[str, Callable] = {"classification": Classification}
