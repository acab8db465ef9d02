"""Checks with `core.fit` that the data, the model and the task of a run fit each other.

Each of these parts of a run states facts about itself. Each part also has needs: the
values of other parts' facts that the part accepts. The facts in this package are:

* data (`data.facts`): label kind, image rank (2; 3 for clips and volumes), shorter
  side, classes, mirrorable, normalized, training examples, test examples, class
  counts, value statistics, picture scale;
* models (`models.outputs`): output kind, auxiliary output, style layers;
* the batch: examples per device;
* the plan of training: frozen modules.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.core import fit, imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Fact, Part
from cnn_jax.data import augment, facts
from cnn_jax.data.dataset import Dataset
from cnn_jax.models import outputs
from cnn_jax.tasks import Task
from cnn_jax.training import freezing, progressive_resizing, views
from cnn_jax.training.config import Config


def check(config: Config, dataset: Dataset, model: nn.Module, task: Task) -> None:
    """Raises UserError unless data, augmentation, model and task fit each other.

    Args:
      config: the resolved config.
      dataset: the data that the config describes.
      model: the model that the config describes.
      task: the task that the config describes.
    """
    fit.check(
        [
            task.part(f"config.task.name={config.task.name}"),
            outputs.part(f"config.model.name={config.model.name}", model),
            facts.part(f"config.data.name={config.data.name}", dataset),
            Part(
                f"config.data.batch_size={config.data.batch_size}",
                {"examples per device": config.data.batch_size // jax.device_count()},
            ),
            views.part(config.eval.views),
            progressive_resizing.part(config.train.image_sizes),
            *augment.make(config.data.augmentations, dataset.label_kind).parts(),
        ]
    )


def check_outputs(config: Config, dataset: Dataset, model: nn.Module) -> None:
    """Raises UserError if a user's model fails, or its logits have a wrong shape.

    The shape is checked only if the model's `output_kind` is "logits", which is the
    default.
    """
    name, classes = config.model.name, len(dataset.classes)
    if not imports.is_path(name):
        return
    images = jax.ShapeDtypeStruct((1, *dataset.image_shape), jnp.float32)
    apply = functools.partial(model.init_with_output, train=False)
    with imports.called("model", name):
        found, _ = jax.eval_shape(apply, jax.random.key(0), images)
    if outputs.output_kind(model) != "logits":
        return
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 2 or shape[1] < classes:
        given = f"the shape {list(shape[1:])}" if shape else f"type {type(found)}"
        raise UserError(
            f"config.model.name={name} returns outputs of {given} per image, but the "
            f"{classes} classes of config.data.name={config.data.name} need logits of "
            f"the shape [{classes}]. Use the model's field num_classes as the number "
            "of outputs."
        )


def check_plan(config: Config, model: nn.Module, plan: freezing.Plan | None) -> None:
    """Raises UserError unless the plan freezes all modules that the model needs frozen.

    Args:
      config: the resolved config.
      model: the model that the config describes.
      plan: how each parameter is trained; None: all parameters are trained.
    """
    name = f"config.model.name={config.model.name}"
    fit.check([outputs.part(name, model), frozen(plan)])


def frozen(plan: freezing.Plan | None) -> Part:
    """Returns a part of the run with the fact "frozen modules".

    The value of the fact is the names of the top-level modules in which the plan
    freezes all parameters.

    Args:
      plan: how each parameter is trained; None: all parameters are trained.
    """
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
