"""The keys of a config: the keys that the chosen functions and models read.

Most keys are declared by the signature of the function or model that reads them. The
following keys are declared in this module.

Attributes:
  seed: the number from which initial weights, the order of the examples, augmentation
    and dropout are drawn.
  data.name: the data source: a name that `--list=data` prints, such as `digits` or
    `tfds:cifar10`, or an import path.
  data.augmentations: random changes of the training images, in their order, such as
    `crop(padding=4), flip`. An augmentation is a name that `--list=augmentations`
    prints, or an import path, with options.
  model.name: the network: a name that `--list=models` prints, a network on a backbone
    such as `unet:resnet18`, or an import path.
  model.num_classes: the number of outputs; None: the number of classes of the data.
  model.init_from: weights to start from: a run's folder, a weight file, a folder of
    `convert`, another Orbax checkpoint, or `hf:REPOSITORY`.
  model.dtype: the type of the computation: `float32`, `bfloat16` or `float16`; None:
    `float32`.
  task.name: the task: a name that `--list=tasks` prints, or an import path.
  optimizer.name: the optimizer: a name that `--list=optimizers` prints, or an import
    path.
  schedule.name: the schedule: a name that `--list=schedules` prints, or an import path.
  train.steps: the length of the run.
  train.accumulate: the number of parts into which the batch of each device is divided.
    The gradient is the mean over the parts, so a batch needs less memory. `auto`: the
    smallest power of two with which a step fits in the memory of the device.
  train.cache_features: whether the last feature maps of frozen layers are computed once
    and kept in memory; None: wherever this gives the same results.
  train.log_every: how often training metrics are logged.
  eval.every: how often the validation split is evaluated and a checkpoint is saved.
    Both also happen after the last step. The test split is evaluated once, after the
    last step.
  eval.test_curve: whether the test split is evaluated at every evaluation. Nothing is
    chosen on it.
  eval.test: whether the test split is evaluated. The trials of a search set it to
    `False`: they need a validation split, and their results have only its scores.
  eval.pictures: whether each evaluation draws pictures, tables and histograms for
    TensorBoard. With `False`, only the last evaluation does. The runs of a sweep have
    `False`, because drawing takes a large part of a short run.
  eval.raw: whether the parameters without averages are evaluated too, if the run
    averages its parameters (`ema_decay`, `swa_start`). The names of these scores begin
    with `raw_`.
  eval.statistics_examples: over how many training examples batch normalization's
    statistics are computed before each evaluation; None: the running statistics.
  eval.views: the views of each image whose outputs evaluation and prediction average:
    `flip` adds the mirror image, `shift` adds two images moved by a pixel, and `crop`
    takes the corners and the center in place of the image. `flip` also averages the
    outputs of segmentation and enhancement, for each pixel.
  eval.batch_size: examples per batch of an evaluation; None: `data.batch_size`.
  checkpoint.every: how often a checkpoint is saved between evaluations; None: never.
  checkpoint.keep: how many of the newest checkpoints are kept, beside the best one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnn_jax import data, models, tasks
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Examples
from cnn_jax.data import augmentations
from cnn_jax.training import (
    averages,
    freezing,
    loop,
    optimizers,
    progressive_resizing,
    rematerialization,
    schedules,
    setup,
)
from cnn_jax.training.config import UNITS, Key, duration_keys, keywords
from cnn_jax.training.progress import Progress

Keys = dict[str, Key]


def merged(group: str, *readers: Mapping[str, Key]) -> Keys:
    """Returns all keys of a config group.

    Args:
      group: the name of the group, such as "optimizer".
      readers: for each function or model that reads the group, the keys that it reads,
        with types and defaults.

    Raises:
      TypeError: if two readers disagree on the type or default of a key.
    """
    keys: Keys = {}
    for reader in readers:
        for name, key in reader.items():
            if keys.setdefault(name, key) != key:
                raise TypeError(
                    f"two functions read config.{group}.{name} with different types or "
                    f"defaults: {keys[name]} and {key}"
                )
    return keys


NAME = {"name": Key(str)}
# The functions that read keys of a group whatever its `name` is.
READERS: Mapping[str, Sequence[Callable]] = {
    "data": (loop.batches, setup.normalized),
    "optimizer": (optimizers.make, averages.make, freezing.make, freezing.kept),
    "train": (progressive_resizing.make, rematerialization.rematerialized),
}


def _data(own: Mapping[str, Key]) -> Keys:
    shared = map(keywords, READERS["data"])
    return merged("data", NAME, own, *shared, augmentations.OPTIONS)


def _model(name: str) -> Keys:
    own = {key: Key(*pair) for key, pair in models.attributes(name).items()}
    common = {
        "num_classes": Key(Count | None, None),
        "init_from": Key(str | None, None),
    }
    return merged("model", NAME, common, own)


def _task(name: str) -> Keys:
    return merged("task", NAME, keywords(tasks.find(name)))


def _optimizer(name: str) -> Keys:
    readers = (*READERS["optimizer"], optimizers.find(name))
    return merged("optimizer", NAME, *map(keywords, readers))


def _schedule(name: str) -> Keys:
    return merged("schedule", NAME, keywords(schedules.find(name)))


def _check_ours() -> None:
    """Raises TypeError if two functions of this package disagree on a key.

    Functions that read the same key must agree on its type and default.
    """
    for source in data.SOURCES.values():
        _data(source.options())
    for keys, names in (
        (_task, tasks.TASKS),
        (_optimizer, optimizers.OPTIMIZERS),
        (_schedule, schedules.SCHEDULES),
    ):
        for name in names:
            keys(name)


_check_ours()


def schema(values: Mapping[str, Any]) -> dict[str, Keys]:
    """Returns the known keys of each config group.

    Args:
      values: the config's values, as nested dicts. The names in them (`model.name`,
        `optimizer.name`, ...) determine the keys.

    Raises:
      UserError: if a name is unknown, or if nothing is found at an import path.
    """

    def chosen(group: str) -> str:
        name = values[group].get("name")
        if not isinstance(name, str):
            raise UserError(f"config.{group}.name must be a string, got {name!r}.")
        return name

    try:
        return {
            "data": _data(data.options(chosen("data"))),
            "model": _model(chosen("model")),
            "task": _task(chosen("task")),
            "optimizer": _optimizer(chosen("optimizer")),
            "schedule": _schedule(chosen("schedule")),
            "train": duration_keys("")
            | {"epochs": Key(UNITS["epochs"] | None, 30.0)}
            | {
                "accumulate": Key(Count | str, 1),
                "cache_features": Key(bool | None, None),
            }
            | duration_keys("log_every", 50)
            | merged("train", *map(keywords, READERS["train"]))
            | keywords(Progress.__init__),
            "eval": duration_keys("every")
            | {"every_epochs": Key(UNITS["epochs"] | None, 1.0)}
            | {"batch_size": Key(Examples | None, None)}
            | {"raw": Key(bool, False), "views": Key(tuple[str, ...], ())}
            | {"statistics_examples": Key(Count | None, None)}
            | {"test_curve": Key(bool, False), "test": Key(bool, True)}
            | {"pictures": Key(bool, True)},
            "checkpoint": duration_keys("every") | {"keep": Key(Count, 1)},
        }
    except TypeError as error:  # one of the readers is the user's
        raise UserError(f"{error}. Rename the key in your code.") from error
