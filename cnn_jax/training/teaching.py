"""Training steps in which a trained network, the teacher, also sees the images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from cnn_jax.data import augment
from cnn_jax.tasks.task import TEACHER
from cnn_jax.training import parallel
from cnn_jax.training.state import stream


@dataclass(frozen=True)
class Teacher:
    """A trained network whose outputs another network learns.

    Attributes:
      model: the network.
      variables: its parameters and batch statistics. They are not trained, and are not
        in the checkpoints of the run.
      normalize: the function that normalizes uint8 images for the network.
      facts: the teacher's run, for config.json: its "config_hash", and the "step" of
        the checkpoint.
    """

    model: nn.Module
    variables: Any
    normalize: Callable[[jax.Array], jax.Array]
    facts: Mapping[str, Any]


def taught(
    teacher: Teacher, augmentation: augment.Augment, step: Callable
) -> Callable[..., Any]:
    """Returns a training step on batches with the outputs of a teacher.

    The teacher sees the augmented images. Its outputs are the entry `TEACHER` of the
    batch.

    Args:
      teacher: the teacher.
      augmentation: the function that changes training images at random.
      step: the training step on all devices (see `parallel.train_step`), without
        augmentation.
    """

    def teach(given: tuple[jax.Array, Any], batch: Mapping[str, jax.Array]) -> Any:
        key, variables = given
        batch = augmentation(stream(key, "augment"), batch)
        images = teacher.normalize(batch["image"])
        outputs = teacher.model.apply(variables, images, train=False)
        return {}, {**batch, TEACHER: outputs}

    teach_all = parallel.eval_step(teach)
    variables = parallel.replicate(teacher.variables)

    def taught_step(state: Any, batch: Mapping[str, jax.Array], key: jax.Array) -> Any:
        _, batch = teach_all((key, variables), batch)
        return step(state, batch, key)

    return taught_step
