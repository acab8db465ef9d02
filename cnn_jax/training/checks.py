"""Whether the parts of a config fit each other."""

import math
from typing import Any

import jax
from flax import linen as nn

from cnn_jax import models, tasks
from cnn_jax.core import memory
from cnn_jax.core.errors import UserError
from cnn_jax.data import labels
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Shape
from cnn_jax.tasks import verification
from cnn_jax.training import freezing, machine, parallel
from cnn_jax.training.config import Config

# What makes a network return what a task takes.
CHANGES = {
    "maps": "head=fcn, deeplab or context",
    "embedding": "head=embedding",
    "class_maps": "head=cam",
    "picture": "one for enhancement",
    "boxes": "a detector, fcos:NAME",
    "stylized": "one of pixels:NAME, johnson:NAME and adain:NAME",
}


def check_fit(config: Config, model: nn.Module, dataset: Dataset) -> None:
    """Raises UserError unless data, augmentation, model and task fit each other."""
    task, source, name = config.task.name, config.data.name, config.model.name
    given, wanted = dataset.label_kind, tasks.TASKS[task].label_kind
    if given != wanted:
        raise UserError(
            f"config.task.name={task} learns {labels.find(wanted).described}, and "
            f"config.data.name={source} has {dataset.labels.described}."
        )
    given, wanted = models.output_kind(model), tasks.TASKS[task].output_kind
    if given != wanted:
        change = CHANGES.get(wanted, "another head")
        if "=" in change and not hasattr(model, "head"):
            change = "another network"
        raise UserError(
            f"config.task.name={task} takes {models.OUTPUTS[wanted]}, and config.model "
            f"gives {models.OUTPUTS[given]}: take {change}."
        )
    if wanted == "embedding":
        verification.check_count(len(dataset.splits.get("test", ())))
    factor = getattr(model, "scale", None)
    if factor is not None:
        size, shape = dataset.image_shape, dataset.label_shape
        if shape[0] != size[0] * factor:
            raise UserError(
                f"{name} makes images {factor} times as large, and the pictures of "
                f"config.data.name={source} are {shape[0] // size[0]} times as large: "
                "set config.model.scale and config.data.scale alike."
            )
    train = dataset.splits.get("train")
    if getattr(model, "one_picture", False) and train is not None and len(train) > 1:
        raise UserError(
            f"{name} learns one picture, and config.data.name={source} has "
            f"{len(train)} to train on: take picture_and_style."
        )
    layers = getattr(model, "style_layers", ())
    if wanted == "stylized" and len(config.task.layer_weights) not in (1, len(layers)):
        raise UserError(
            f"config.task.layer_weights={config.task.layer_weights} needs one entry, "
            f"or one for each of the {len(layers)} config.model.style_layers."
        )
    auxiliary = getattr(model, "auxiliary", False) and model.auxiliary_kind
    if wanted == "maps" and auxiliary == "logits":
        raise UserError(
            f"the auxiliary heads of {name} give logits of the whole image, and "
            f"config.task.name={task} learns one label a pixel: set "
            "config.model.auxiliary=false."
        )
    if dataset.label_kind == "picture" and {*dataset.mean, *dataset.std} != {0, 1}:
        raise UserError(
            f"the pictures that {name} makes have values from 0 to 1, as its images "
            f"have: config.data.normalization={config.data.normalization} would change "
            "these."
        )
    if len(dataset.image_shape) == 4 and not getattr(model, "takes_clips", True):
        raise UserError(
            f"{name} takes images, and config.data.name={source} has clips or volumes."
        )
    if config.data.flip and not dataset.mirrorable:
        raise UserError(
            f"a mirror would change the labels of config.data.name={source}: set "
            "config.data.flip=false."
        )


def check_numbers(config: Config, classes: int) -> None:
    """Raises UserError for a number that has no meaning for so many classes."""
    if max(config.task.get("top_k", ()), default=0) > classes:
        raise UserError(
            f"config.task.top_k={config.task.top_k} must be at most {classes}, the "
            "number of classes."
        )


def check_memory(config: Config, image_shape: Shape, state: Any) -> None:
    """Raises UserError unless a batch and the state fit in memory.

    The batch is on the host and, also normalized in float32, on the devices. Maps and
    gradients, which take more, are left to the backend.

    Args:
      state: arrays, or their shapes.
    """
    kept = jax.tree.leaves(state)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in kept)
    most = machine.memory_stats().get("bytes_limit")
    change = "take a smaller network: look at the widths and classes of config.model"
    memory.check(size, "the parameters and the optimizer's state", change, most)
    for group in ("data", "eval"):
        rows = config[group].batch_size
        if rows is None:
            continue
        pixels = rows * math.prod(image_shape)
        what = f"a batch of {rows:,} images of {'x'.join(map(str, image_shape))}"
        change = f"set config.{group}.batch_size or config.data.image_size lower"
        memory.check(pixels // jax.process_count(), what, change)
        memory.check(5 * pixels // jax.device_count(), what, change, most)


def check_judge(config: Config, model: nn.Module, plan: freezing.Plan | None) -> None:
    """Raises UserError where the module that judges what is learned is trained too."""
    judge = getattr(model, "judge", None)
    if judge and (plan is None or not plan.ever().rests((judge,))):
        raise UserError(
            f"the maps of the {judge} of {config.model.name} say how good a picture "
            "is, and training must not change them: set config.optimizer.freeze="
            f"{judge}."
        )


def check_batch_sizes(config: Config) -> None:
    """Raises UserError unless the devices divide the batches evenly."""
    parallel.check_batch_size("data.batch_size", config.data.batch_size)
    if config.eval.batch_size is not None:
        parallel.check_batch_size("eval.batch_size", config.eval.batch_size)
