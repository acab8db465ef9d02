"""From a config to the parts of a run: data, model, task, optimizer, schedule."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn

from cnn_jax import data, models, tasks
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.data import augment
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.training import (
    cached_features,
    freezing,
    optimizers,
    parallel,
    parts,
    schedules,
    startup,
    state,
)
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config
from cnn_jax.training.step import make_eval_step, make_train_step


@dataclass(frozen=True)
class Network:
    """What evaluation and prediction need; training needs it too."""

    model: nn.Module
    task: tasks.Task
    normalize: Callable[[jax.Array], jax.Array]
    image_shape: tuple[int, ...]
    label_shape: tuple[int, ...] = ()
    label_kind: str = "class"


@dataclass(frozen=True)
class Training:
    """What else training needs. Lengths are in steps.

    `initial` holds the variables that a fresh network does not draw from the seed,
    `plan` says what is trained where it is not every parameter alike.
    """

    optimizer: optax.GradientTransformation
    schedule: schedules.Schedule
    augmentation: augment.Augment
    steps: int
    steps_per_epoch: float
    log_every: int
    eval_every: int | None
    checkpoint_every: int | None
    plan: freezing.Plan | None = None
    initial: Mapping[str, Any] | None = None


def dataset(config: Config) -> Dataset:
    """The data of a config.

    Raises:
      UserError: as `data.load`, and for a normalization that is not known.
    """
    options = config_lib.arguments(config.data, normalized)
    return normalized(data.load(config.data.name, **data_options(config)), **options)


# Means and standard deviations of values from 0 to 1, by the number of channels.
NORMALIZATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ({1: (0.5,), 3: (0.5,) * 3}, {1: (0.5,), 3: (0.5,) * 3}),  # to -1..1
}


def normalized(dataset: Dataset, *, normalization: str | None = None) -> Dataset:
    """The data with what its images are shifted and divided by.

    Args:
      normalization: "data": by the training images' own mean and standard deviation;
        or one of `NORMALIZATIONS`; None: what the weights of `config.model.init_from`
        expect, and without them as "data".

    Raises:
      UserError: it is not known, or not for so many channels.
    """
    if normalization in (None, "data"):
        return dataset
    if normalization not in NORMALIZATIONS:
        known = ["data", *NORMALIZATIONS]
        raise unknown("config.data.normalization", normalization, known)
    mean, std = NORMALIZATIONS[normalization]
    channels = dataset.image_shape[-1]
    if channels not in mean:
        raise UserError(
            f"config.data.normalization={normalization} is one of 1 or 3 channels, and "
            f"the images have {channels}."
        )
    return dataclasses.replace(dataset, mean=mean[channels], std=std[channels])


def network(config: Config, dataset: Dataset) -> Network:
    """The model and the task that a resolved config describes.

    Raises:
      UserError: an attribute that the model does not accept, fewer outputs than the
        data has classes, or parts that do not fit each other.
    """
    task = tasks.find(config.task.name)
    model = model_of(config, len(dataset.classes))
    if models.outputs.said(model, "knows_normalization"):
        model = model.clone(mean=tuple(dataset.mean), std=tuple(dataset.std))
    options = config_lib.arguments(config.task, task.__init__)
    made = task(dataset.classes, **options)
    parts.check(config, dataset, model, made)
    return Network(
        model=model,
        task=made,
        normalize=functools.partial(
            augment.normalize, mean=dataset.mean, std=dataset.std
        ),
        image_shape=dataset.image_shape,
        label_shape=dataset.label_shape,
        label_kind=dataset.label_kind,
    )


def model_of(config: Config, classes: int) -> nn.Module:
    """The model of a config, for data of so many classes.

    Raises:
      UserError: as `network`.
    """
    attributes = dict(config.model)
    name = attributes.pop("name")
    attributes.pop("init_from")  # read where a run starts
    num_classes = attributes.pop("num_classes")
    if not models.classifies(name):
        return models.create(name, num_classes=num_classes, **attributes)
    num_classes = num_classes or classes
    if num_classes < classes:
        raise UserError(
            f"config.model.num_classes={num_classes} is less than the {classes} "
            f"classes of config.data.name={config.data.name}."
        )
    return models.create(name, num_classes=num_classes, **attributes)


def training(config: Config, network: Network, examples: int) -> Training:
    """The optimizer, the schedule and the lengths, for so many training examples.

    Raises:
      UserError: values out of their range, a batch that the devices cannot share, or
        nothing to train.
    """
    batch_size = config.data.batch_size
    parallel.check_batch_sizes(config)
    sizes = {"batch_size": batch_size, "examples": examples}
    steps = config_lib.steps_in(config.train, "", **sizes)
    if steps < 1:
        raise UserError("config.train asks for no step at all.")
    make_schedule = schedules.SCHEDULES[config.schedule.name]
    schedule = make_schedule(
        config.optimizer.learning_rate,
        steps,
        **config_lib.arguments(config.schedule, make_schedule, **sizes),
    )
    if config.optimizer.reinitialize is not None and config.model.init_from is None:
        raise UserError(
            "config.optimizer.reinitialize draws anew what config.model.init_from "
            "would give: set that too."
        )
    plan = plan_of(config, network, examples)
    parts.check_plan(config, network.model, plan)
    if plan and max(plan.starts, default=0) >= steps:
        raise UserError(
            f"config.optimizer.unfreeze_every_...: the last of the parameters would be "
            f"trained from step {plan.starts[-1]:,}, and the run has {steps:,}: take a "
            "shorter one."
        )
    return Training(
        optimizer=_optimizer(config, schedule, plan),
        schedule=schedule,
        augmentation=augment.Augment(
            network.label_kind, **config_lib.arguments(config.data, augment.Augment)
        ),
        steps=steps,
        steps_per_epoch=examples / batch_size,
        log_every=config_lib.steps_in(config.train, "log_every", **sizes) or steps,
        eval_every=config_lib.steps_in(config.eval, "every", **sizes),
        checkpoint_every=config_lib.steps_in(config.checkpoint, "every", **sizes),
        plan=plan,
    )


def plan_of(config: Config, network: Network, examples: int) -> freezing.Plan | None:
    """What is trained; None: every parameter alike.

    Raises:
      UserError: as `freezing.make`.
    """
    sizes = {"batch_size": config.data.batch_size, "examples": examples}
    options = config_lib.arguments(config.optimizer, freezing.make, **sizes)

    def paths() -> list[freezing.Path]:
        return list(freezing.shapes_of(network.model, network.image_shape))

    return freezing.make(paths, **options)


def _optimizer(
    config: Config, schedule: schedules.Schedule, plan: freezing.Plan | None
) -> optax.GradientTransformation:
    make = optimizers.OPTIMIZERS[config.optimizer.name]
    options = config_lib.arguments(config.optimizer, make)
    groups = plan.groups() if plan else {freezing.Part(): "all"}

    def of_group(part: freezing.Part) -> optax.GradientTransformation:
        # A group that rests does not count the steps.
        return make(
            lambda count: part.rate * schedule(count + part.start),
            **options,
        )

    if len(groups) == 1:
        (part,) = groups
        optimizer = (
            make(schedule, **options) if part == freezing.Part() else of_group(part)
        )
    else:
        optimizer = optimizers.grouped(
            {name: of_group(part) for part, name in groups.items()},
            lambda path: groups[plan.parts[path]],
        )
    return optimizers.make(
        optimizer, **config_lib.arguments(config.optimizer, optimizers.make)
    )


def with_features(
    config: Config,
    network: Network,
    training: Training,
    dataset: Dataset,
    variables: Any,
) -> tuple[Dataset, str | None]:
    """The data with the maps before the head, if these are the same in every epoch.

    Returns:
      The data, and what is to be said of it.

    Raises:
      UserError: `config.train.cache_features` asks for it, and it cannot be.
    """
    wanted = config.train.cache_features
    if wanted is False or (wanted is None and training.plan is None):
        return dataset, None
    reason = cached_features.obstacle(
        network.model,
        training.plan,
        dataset,
        augmented=training.augmentation.changes,
    )
    if reason and wanted:
        raise UserError(f"config.train.cache_features=true is not possible: {reason}.")
    if reason:
        return dataset, None
    with startup.CLOCK.part("maps"):
        splits = {
            role: cached_features.cached(
                network.model, network.normalize, variables, split
            )
            for role, split in dataset.splits.items()
        }
    size = sum(split.features.nbytes for split in splits.values())
    return dataclasses.replace(dataset, splits=splits), (
        f"the maps before the head are computed once: {size / 2**20:,.1f} MiB"
    )


def check_batch_norm(config: Config, network: Network, training: Training) -> None:
    """Raises UserError where a layer would normalize one value over the batch.

    Only of one example a device can it be, so that other runs need no tracing.
    """
    if config.data.batch_size > jax.device_count():
        return
    model, plan = network.model, training.plan
    phase = plan.ever() if plan else freezing.EVERYTHING

    def forward(variables: Any, images: jax.Array) -> Any:
        with phase.applied():
            return model.apply(
                variables,
                network.normalize(images),
                train=True,
                mutable=["batch_stats", "auxiliary"],
                rngs={"dropout": jax.random.key(0)},
            )

    state = jax.eval_shape(functools.partial(fresh_state, config, network))
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    images = jax.ShapeDtypeStruct(
        (jax.device_count(), 1, *network.image_shape), np.uint8
    )
    jax.eval_shape(
        jax.vmap(forward, in_axes=(None, 0), axis_name=parallel.AXIS), variables, images
    )


def train_step(
    config: Config, network: Network, training: Training, step: int = 0
) -> Callable:
    """The training loop's step after `step` others, on all devices: see
    `parallel.train_step`."""
    plan = training.plan
    return parallel.train_step(
        make_train_step(
            network.model,
            network.task,
            training.optimizer,
            augmentation=training.augmentation,
            normalize=network.normalize,
            seed=config.seed,
            ema_decay=config.optimizer.ema_decay,
            phase=plan.phase(step) if plan else freezing.EVERYTHING,
        )
    )


def eval_step(network: Network) -> Callable:
    """The step of evaluation, on all devices: see `parallel.eval_step`."""
    return parallel.eval_step(
        make_eval_step(network.model, network.task, normalize=network.normalize)
    )


def fresh_state(
    config: Config,
    network: Network,
    training: Training | None = None,
    initial: Mapping[str, Any] | None = None,
) -> state.State:
    """The state before the first step; without `training`, without an optimizer's.

    Args:
      initial: see `Training`, whose own are taken where these are None.
    """
    if initial is None and training:
        initial = training.initial
    return state.create(
        network.model,
        training.optimizer if training else optax.identity(),
        network.image_shape,
        seed=config.seed,
        ema=config.optimizer.ema_decay is not None,
        initial=initial,
        phase=training.plan.ever()
        if training and training.plan
        else freezing.EVERYTHING,
    )


def data_options(config: Config) -> dict[str, Any]:
    """What the data source itself reads of `config.data`."""
    return {
        key: config.data[key] for key in data.options(config.data.name) if key != "name"
    }
