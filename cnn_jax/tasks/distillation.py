"""Knowledge distillation: a network also learns the outputs of a trained network, its
teacher (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network")."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Positive, Share
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.task import TEACHER, Batch

Logits = Float[Array, "batch classes"]


@dataclass(frozen=True)
class Distillation(Classification):
    """Classification that also learns the probabilities of a trained network.

    The teacher sees the same augmented images as the network. The loss is

        (1 - weight) * loss + weight * temperature^2 * KL(teacher || network)

    Here `loss` is the loss of `Classification`, and KL is the Kullback-Leibler
    divergence of the softmax probabilities of logits / temperature. In evaluation, the
    teacher is not used.

    Attributes (in addition to those of `Classification`):
      teacher: the folder of the teacher's run. Its best checkpoint is used.
      temperature: the number by which logits are divided.
      distillation_weight: the weight of the teacher in the loss.
    """

    _: KW_ONLY
    teacher: Place = ""
    temperature: Positive = 4.0
    distillation_weight: Share = 0.9

    def loss(
        self, logits: Logits, batch: Batch, auxiliary: Sequence[Logits] = ()
    ) -> Float[Array, ""]:
        """Returns the weighted mean of the loss of the labels and of the teacher.

        Auxiliary heads learn the labels alone. A batch without the teacher's outputs,
        as in a benchmark, has the loss of the labels.
        """
        own = super().loss(logits, batch, auxiliary)
        if TEACHER not in batch:
            return own
        taught = divergence(
            batch[TEACHER], logits, len(self.classes), self.temperature
        ).mean()
        weight = self.distillation_weight
        return (1 - weight) * own + weight * self.temperature**2 * taught


def divergence(
    teacher: Logits, logits: Logits, classes: int, temperature: float
) -> Float[Array, " batch"]:
    """Returns the Kullback-Leibler divergence KL(teacher || network) in nats.

    Args:
      teacher: the logits of the teacher.
      logits: the logits of the network.
      classes: the number of classes; further outputs of both networks do not count.
      temperature: the number by which all logits are divided.
    """
    expected, found = (
        jax.nn.log_softmax(each[:, :classes] / temperature)
        for each in (teacher, logits)
    )
    return (jnp.exp(expected) * (expected - found)).sum(-1)
