"""The parts of a run, as `core.fit` compares them.

Facts that ours give, by their names:

* data (`data.facts`): label kind, image rank (2, of clips and volumes 3), shorter side,
  classes, mirrorable, normalized, training examples, test examples, picture scale;
* models (`models.outputs`): output kind, auxiliary output, style layers;
* the plan of training: frozen modules.
"""

from flax import linen as nn

from cnn_jax.core import fit
from cnn_jax.core.fit import Fact, Part
from cnn_jax.data import augment, facts
from cnn_jax.data.dataset import Dataset
from cnn_jax.models import outputs
from cnn_jax.tasks import Task
from cnn_jax.training import freezing
from cnn_jax.training.config import Config


def check(config: Config, dataset: Dataset, model: nn.Module, task: Task) -> None:
    """Raises UserError unless data, augmentation, model and task fit each other."""
    fit.check(
        [
            task.part(f"config.task.name={config.task.name}"),
            outputs.part(f"config.model.name={config.model.name}", model),
            facts.part(f"config.data.name={config.data.name}", dataset),
            *augment.make(dict(config.data), dataset.label_kind).parts(),
        ]
    )


def check_plan(config: Config, model: nn.Module, plan: freezing.Plan | None) -> None:
    """Raises UserError unless the model can be trained as planned."""
    name = f"config.model.name={config.model.name}"
    fit.check([outputs.part(name, model), frozen(plan)])


def frozen(plan: freezing.Plan | None) -> Part:
    """The modules at the top of the network that are never trained, nor in part."""
    modules: frozenset[str] = frozenset()
    if plan is not None:
        phase = plan.ever()
        resting, trained = (
            frozenset(path[0] for path in paths)
            for paths in (phase.resting, phase.trained)
        )
        modules = resting - trained
    words = f"freezes {', '.join(sorted(modules)) or 'no module'}"
    return Part("config.optimizer", {"frozen modules": Fact(modules, words)})
