"""Tasks: each file defines one subclass of `Task`, listed in `TASKS`."""

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.tasks.action_recognition import ActionRecognition
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.detection import Detection
from cnn_jax.tasks.distillation import Distillation
from cnn_jax.tasks.embedding import Embedding
from cnn_jax.tasks.enhancement import Enhancement
from cnn_jax.tasks.localization import Localization
from cnn_jax.tasks.multi_label import MultiLabel
from cnn_jax.tasks.regression import Regression
from cnn_jax.tasks.segmentation import Segmentation
from cnn_jax.tasks.style_transfer import StyleTransfer
from cnn_jax.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "action_recognition": ActionRecognition,
    "classification": Classification,
    "detection": Detection,
    "distillation": Distillation,
    "embedding": Embedding,
    "enhancement": Enhancement,
    "localization": Localization,
    "multi_label": MultiLabel,
    "regression": Regression,
    "segmentation": Segmentation,
    "style_transfer": StyleTransfer,
}


def find(name: str) -> type[Task]:
    """Returns a task by its name in `TASKS`, or by its import path.

    Raises:
      UserError: no such task exists, or the name leads to something other than a
        subclass of `Task` that defines every abstract method.
    """
    task = imports.find("task", name, TASKS)
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise UserError(f"task '{name}' must be a subclass of cnn_jax.tasks.Task.")
    if missing := sorted(task.__abstractmethods__):
        raise UserError(f"task '{name}' must define {', '.join(missing)}.")
    return task
