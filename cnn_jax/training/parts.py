"""The parts of a run, as `core.fit` compares them.

Facts that ours give, by their names:

* data (`data.facts`): label kind, image rank (2, of clips and volumes 3), shorter side,
  classes, mirrorable, normalized, training examples, test examples, picture scale;
* models (`models.outputs`): output kind, auxiliary output, style layers;
* the plan of training: frozen modules.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flax import linen as nn

from cnn_jax.core import fit
from cnn_jax.core.fit import AllBut, Fact, Need, Part
from cnn_jax.core.ranges import Range
from cnn_jax.data import facts
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
            *augmentations(config),
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


def augmentations(config: Config) -> list[Part]:
    """The augmentations that are switched on."""
    return [
        Part(f"config.data.{key}={config.data[key]}", {}, needs(config.data[key]))
        for key, needs in AUGMENTATIONS.items()
        if config.data[key]
    ]


def _single(words: str, off: str) -> Need:
    """The need of an augmentation that would treat one picture of a pair alone."""
    return Need("label kind", AllBut({"style"}), words, f"leave pairs alone, {off}")


def _crop_padding(value: int) -> tuple[Need, ...]:
    words, off = "crops images", "set config.data.crop_padding=0"
    least = f"needs images of more than {value} pixels a side"
    lower = "set config.data.crop_padding below that"
    larger = Need("shorter side", Range(above=value), least, lower)
    return _single(words, off), larger


def _flip(value: bool) -> tuple[Need, ...]:
    del value
    words, off = "mirrors images", "set config.data.flip=false"
    return _single(words, off), Need("mirrorable", {True}, words, off)


def _jitter(value: float) -> tuple[Need, ...]:
    del value
    words, off = "changes the light of images alone", "set config.data.jitter=0"
    return (Need("label kind", AllBut({"picture", "style"}), words, off),)


# What each key of augmentation takes, by the key's value.
AUGMENTATIONS: Mapping[str, Callable[[Any], tuple[Need, ...]]] = {
    "crop_padding": _crop_padding,
    "flip": _flip,
    "jitter": _jitter,
}
