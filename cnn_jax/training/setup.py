"""Makes the parts of a run from a config: data, model, task, optimizer, schedule."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict

from cnn_jax import data, models, tasks
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.data import augment, bands, loading, samplers
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.models.network import described
from cnn_jax.training import (
    averages,
    freezing,
    optimizers,
    parallel,
    parts,
    precise_statistics,
    progressive_resizing,
    rematerialization,
    schedules,
    state,
    teaching,
)
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config
from cnn_jax.training.dependence import dependent
from cnn_jax.training.step import make_eval_step, make_train_step


@dataclass(frozen=True)
class Network:
    """A model and its task: all that evaluation and prediction need from a config.

    Attributes:
      config: the config of the run.
      model: the model.
      task: the task.
      normalize: a function that normalizes images for the model.
      image_shape: the shape of one image, clip or volume.
      image_type: the type of images before their normalization, uint8 or float32.
      label_shape: the shape of one label.
      label_kind: the kind of the data's labels, a name in `data.labels`.
    """

    config: Config
    model: nn.Module
    task: tasks.Task
    normalize: Callable[[jax.Array], jax.Array]
    image_shape: tuple[int, ...]
    image_type: np.dtype = bands.BYTES
    label_shape: tuple[int, ...] = ()
    label_kind: str = "class"

    def eval_step(self) -> Callable:
        """Returns the evaluation step on all devices; see `parallel.eval_step`."""
        step = make_eval_step(
            self.model,
            self.task,
            normalize=self.normalize,
            views=self.config.eval.views,
        )
        return parallel.eval_step(step)

    def fresh_state(
        self,
        initial: Mapping[str, Any] | None = None,
        *,
        images: np.ndarray | None = None,
        optimizer: optax.GradientTransformation | None = None,
        phase: freezing.Phase = freezing.EVERYTHING,
    ) -> state.State:
        """Returns a state before the first step.

        Args:
          initial: variables that replace the variables drawn from the seed; None: no
            variables.
          images: images, for layers that compute their initial parameters from
            images; None: an image of zeros.
          optimizer: the optimizer that will train the network; None: no optimizer.
          phase: the trained parameters; only these get optimizer state.
        """
        return state.create(
            self.model,
            optimizer or optax.identity(),
            self.image_shape,
            seed=self.config.seed,
            ema=averaging(self.config, steps=1) is not None,
            images=None if images is None else self.normalize(jnp.asarray(images)),
            initial=initial,
            phase=phase,
        )

    @functools.cached_property
    def state_shapes(self) -> state.State:
        """The shapes and dtypes of `fresh_state()`, which is traced only once."""
        return jax.eval_shape(self.fresh_state)


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
      network: the model and the task.
      optimizer: the optimizer.
      schedule: the learning rate at each step.
      augmentation: the function that changes training images at random.
      steps: the number of steps of the run.
      steps_per_epoch: the number of steps of an epoch.
      log_every: the number of steps from one log line to the next.
      eval_every: the number of steps from one evaluation to the next; None: one
        evaluation after the last step.
      checkpoint_every: the number of steps from one checkpoint to the next; None:
        checkpoints only at evaluations.
      accumulate: the number of parts into which the batch of a device is divided.
      resizing: the sizes of the training images.
      plan: how each parameter is trained; None: all parameters are trained in the same
        way.
      initial: variables that replace the variables drawn from the seed; None: no
        variables.
      images: the images of `initial_images`.
      teacher: a trained network whose outputs the task learns; None: no such network.
    """

    network: Network
    optimizer: optax.GradientTransformation
    schedule: schedules.Schedule
    augmentation: augment.Augment
    steps: int
    steps_per_epoch: float
    log_every: int
    eval_every: int | None
    checkpoint_every: int | None
    accumulate: int = 1
    resizing: progressive_resizing.Resizing = progressive_resizing.FULL_SIZE
    plan: freezing.Plan | None = None
    initial: Mapping[str, Any] | None = None
    images: np.ndarray | None = None
    teacher: teaching.Teacher | None = None

    @property
    def config(self) -> Config:
        """The config of the run."""
        return self.network.config

    def with_schedule(self, schedule: schedules.Schedule) -> "Training":
        """Returns the same training with another schedule."""
        optimizer = optimizer_of(self.network, schedule, self.plan)
        return dataclasses.replace(self, optimizer=optimizer, schedule=schedule)

    def phase(self, step: int) -> freezing.Phase:
        """Returns the trained and frozen parameters after `step` steps."""
        return self.plan.phase(step) if self.plan else freezing.EVERYTHING

    @property
    def changes(self) -> set[int]:
        """The numbers of steps after which `step` returns another function."""
        return {*self.resizing.starts, *(self.plan.starts if self.plan else ())}

    def ever(self) -> freezing.Phase:
        """Returns the phase in which all parameters that are ever trained are trained.

        Its other parameters are always frozen.
        """
        return self.plan.ever() if self.plan else freezing.EVERYTHING

    def step(self, step: int = 0) -> Callable:
        """Returns the function that executes a training step on all devices.

        See `parallel.train_step`. The function depends on the step if parameters are
        unfrozen, or if the size of the images changes; see `changes`.

        Args:
          step: the number of training steps so far.
        """
        augmentation = augment.Augment() if self.teacher else self.augmentation
        resize, normalize = self.resizing.of(step), self.network.normalize
        made = parallel.train_step(
            make_train_step(
                self.network.model,
                self.network.task,
                self.optimizer,
                augmentation=augmentation,
                normalize=lambda images: normalize(resize(images)),
                averaging=averaging(self.config, self.steps),
                phase=self.phase(step),
                accumulate=self.accumulate,
                remat=self.config.train.remat,
            )
        )
        if self.teacher:
            return teaching.taught(self.teacher, self.augmentation, made)
        return made

    def statistics_step(self, step: int = 0) -> Callable:
        """Returns the function that computes the batch statistics of a training batch.

        See `parallel.statistics_step`.

        Args:
          step: the number of training steps so far.
        """
        return parallel.statistics_step(
            precise_statistics.make_step(
                self.network.model,
                augmentation=self.augmentation,
                normalize=self.network.normalize,
                phase=self.phase(step),
            )
        )

    def fresh_state(self) -> state.State:
        """Returns the state before the first step."""
        return self.network.fresh_state(
            self.initial,
            images=self.images,
            optimizer=self.optimizer,
            phase=self.ever(),
        )

    @functools.cached_property
    def state_shapes(self) -> state.State:
        """The shapes and dtypes of `fresh_state()`, which is traced only once."""
        return jax.eval_shape(self.fresh_state)


def dataset(config: Config) -> Dataset:
    """Returns the data that a config describes.

    Raises:
      UserError: if the data cannot be loaded, or the normalization is unknown.
    """
    options = config_lib.arguments(config.data, normalized)
    found = normalized(data.load(config.data.name, **data_options(config)), **options)
    loading.check_workers(found.splits.values(), config.data.workers)
    samplers.make(config.data.sampler, found.splits["train"])  # finds mistakes early
    return found


# Means and standard deviations of pixels in [0, 1], by the number of channels.
NORMALIZATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ({1: (0.5,), 3: (0.5,) * 3}, {1: (0.5,), 3: (0.5,) * 3}),  # to -1..1
}


def normalized(dataset: Dataset, *, normalization: str | None = None) -> Dataset:
    """Returns the data with the mean and standard deviation of a normalization.

    Args:
      dataset: the data, with its own mean and standard deviation.
      normalization: the source of the mean and the standard deviation. "data": the
        training images, or 65,536 evenly spaced ones if there are more. A name in
        `NORMALIZATIONS`: the values of this normalization.
        None: the values that the weights of `config.model.init_from` expect, or the
        training images if there are no such weights.

    Raises:
      UserError: if the normalization is unknown, or has no values for the images'
        number of channels.
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
            f"config.data.normalization={normalization} is for images of 1 or 3 "
            f"channels, and the images have {channels}: set "
            "config.data.normalization=data."
        )
    return dataclasses.replace(dataset, mean=mean[channels], std=std[channels])


def check_roles(config: Config, dataset: Dataset, schedule: schedules.Schedule) -> None:
    """Raises `UserError` if a config needs splits that the data or the config lack.

    Early stopping, a schedule that depends on evaluations and a run without the test
    split need a validation split.

    Args:
      config: the resolved config.
      dataset: the data that the config describes.
      schedule: the schedule that the config describes.
    """
    if isinstance(schedule, schedules.Plateau) and "val" not in dataset.splits:
        raise UserError(
            f"config.schedule.name={config.schedule.name} needs a validation split, "
            "and the data have none: set config.data.val, for example to 0.1."
        )
    if config.train.patience is not None and "val" not in dataset.splits:
        raise UserError(
            f"config.train.patience={config.train.patience} needs a validation split, "
            "and the data have none: set config.data.val, for example to 0.1."
        )
    if config.eval.test:
        return
    if config.eval.test_curve:
        raise UserError(
            "config.eval.test=false and config.eval.test_curve=true contradict each "
            "other: leave out one of them."
        )
    if "val" not in dataset.splits:
        raise UserError(
            "config.eval.test=false leaves only a validation split to evaluate, and "
            "the data have none: set config.data.val, for example to 0.1."
        )


def network(config: Config, dataset: Dataset) -> Network:
    """Returns the model and the task that a resolved config describes.

    Raises:
      UserError: if the model does not accept an attribute, if the model has fewer
        outputs than the data has classes, or if data, model and task do not fit each
        other.
    """
    task = tasks.find(config.task.name)
    model = model_of(config, len(dataset.classes))
    if described(model).knows_normalization:
        model = model.clone(mean=tuple(dataset.mean), std=tuple(dataset.std))
    options = config_lib.arguments(config.task, task.__init__)
    made = task(dataset.classes, dataset.label_statistics, **options)
    parts.check(config, dataset, model, made)
    parts.check_outputs(config, dataset, model)
    return Network(
        config,
        model=model,
        task=made,
        normalize=functools.partial(
            augment.normalize, mean=tuple(dataset.mean), std=tuple(dataset.std)
        ),
        image_shape=dataset.image_shape,
        image_type=dataset.image_type,
        label_shape=dataset.label_shape,
        label_kind=dataset.label_kind,
    )


def model_of(config: Config, classes: int) -> nn.Module:
    """Returns the model of a config.

    Args:
      config: the resolved config.
      classes: the number of classes of the data.

    Raises:
      UserError: if the model does not accept an attribute, or has fewer outputs than
        the data has classes.
    """
    attributes = dict(config.model)
    name = attributes.pop("name")
    attributes.pop("init_from")  # read when a run starts
    num_classes = attributes.pop("num_classes")
    if not models.classifies(name):
        return models.create(name, num_classes=num_classes, **attributes)
    num_classes = num_classes or classes
    if num_classes < classes:
        raise UserError(
            f"config.model.num_classes={num_classes} must be at least {classes}, the "
            f"number of classes of config.data.name={config.data.name}."
        )
    return models.create(name, num_classes=num_classes, **attributes)


def initial_images(network: Network, dataset: Dataset) -> np.ndarray | None:
    """Returns the training images from which initial parameters are computed.

    The images are [count, *image_shape], evenly spaced over the training split,
    as evaluation sees them. The result is None if the network needs no images.
    """
    split = dataset.splits["train"]
    count = min(described(network.model).init_images, len(split))
    if not count:
        return None
    return loading.examples(split, np.arange(count) * len(split) // count)["image"]


def training(network: Network, examples: int) -> Training:
    """Returns how a network is trained.

    Args:
      network: the network.
      examples: the number of training examples.

    Raises:
      UserError: if a value is out of its range, the batch cannot be split over the
        devices, or there is nothing to train.
    """
    config = network.config
    batch_size = config.data.batch_size
    parallel.check_batch_sizes(config)
    samplers.check_repeats(batch_size, config.data.repeats)
    parallel.check_parts(config)
    accumulate = config.train.accumulate
    sizes = {"batch_size": batch_size, "examples": examples}
    steps = config_lib.steps_in(config.train, "", **sizes)
    if steps is None or steps < 1:
        raise UserError(
            "config.train sets a run of zero steps: set config.train.steps or "
            "config.train.epochs to a number above 0."
        )
    schedule = schedules.planned(config, steps, **sizes)
    if config.eval.raw and averaging(config, steps) is None:
        raise UserError(
            "config.eval.raw=true evaluates the parameters beside their averages, and "
            "the run has no averages: set config.optimizer.ema_decay or "
            "config.optimizer.swa_start."
        )
    if config.optimizer.reinitialize is not None and config.model.init_from is None:
        raise UserError(
            "config.optimizer.reinitialize replaces parameters from "
            "config.model.init_from: set config.model.init_from too."
        )
    options = config_lib.arguments(config.train, progressive_resizing.make)
    resizing = progressive_resizing.make(steps, network.image_shape, **options)
    progressive_resizing.check(resizing, network.model, network.image_shape)
    rematerialization.check(network.model, network.image_shape, config.train.remat)
    plan = plan_of(network, sizes)
    parts.check_plan(config, network.model, plan)
    if plan and max(plan.starts, default=0) >= steps:
        raise UserError(
            "config.optimizer.unfreeze_every_... is too large: the last group would be "
            f"trained from step {plan.starts[-1]:,}, but the run has {steps:,} steps. "
            "Set a smaller value."
        )
    return Training(
        network,
        optimizer=optimizer_of(network, schedule, plan),
        schedule=schedule,
        augmentation=augment.make(config.data.augmentations, network.label_kind),
        steps=steps,
        steps_per_epoch=examples / batch_size,
        log_every=config_lib.steps_in(config.train, "log_every", **sizes) or steps,
        eval_every=config_lib.steps_in(config.eval, "every", **sizes),
        checkpoint_every=config_lib.steps_in(config.checkpoint, "every", **sizes),
        accumulate=1 if accumulate == parallel.AUTO else accumulate,
        resizing=resizing,
        plan=plan,
    )


def optimizer_of(
    network: Network, schedule: schedules.Schedule, plan: freezing.Plan | None
) -> optax.GradientTransformation:
    """Returns the optimizer of a network's config, with any schedule."""
    last = described(network.model).class_layer
    made = optimizers.planned(network.config.optimizer, schedule, plan, last)
    return schedule.wrapped(made) if isinstance(schedule, schedules.Plateau) else made


def averaging(config: Config, steps: int) -> averages.Averaging | None:
    """Returns how the variables of a run are averaged; None: they are not averaged.

    Args:
      config: the resolved config.
      steps: the number of steps of the run.
    """
    options = config_lib.arguments(config.optimizer, averages.make)
    own = optimizers.averages(config.optimizer.name)
    return averages.make(steps, own, **options)


def plan_of(network: Network, sizes: Mapping[str, int]) -> freezing.Plan | None:
    """Returns the plan of a config: how each parameter is trained.

    The result is None if all parameters are trained in the same way.

    Args:
      network: the network.
      sizes: `batch_size`, and `examples`: the number of training examples.

    Raises:
      UserError: see `freezing.make`.
    """
    options = config_lib.arguments(network.config.optimizer, freezing.make, **sizes)

    def paths() -> list[freezing.Path]:
        return list(freezing.shapes_of(network.model, network.image_shape))

    return freezing.make(paths, **options)


def check_normalization(training: Training) -> None:
    """Raises UserError if batch normalization is not possible in a layer.

    There are two cases. A layer cannot normalize over a single value per channel, which
    happens only if a device computes one example at a time. A frozen layer must not
    normalize with the statistics of the batch.
    """
    network = training.network
    count = network.config.eval.statistics_examples
    if count is not None and not training.state_shapes.batch_stats:
        raise UserError(
            f"config.eval.statistics_examples={count}: the network "
            f"{network.config.model.name} has no batch normalization. Leave out "
            "this key."
        )
    rows = network.config.data.batch_size // jax.device_count()
    rows //= training.accumulate
    if rows > 1 and not training.plan:
        return  # skip the tracing
    images = jax.ShapeDtypeStruct(
        (jax.device_count(), rows, *network.image_shape), network.image_type
    )
    fresh = training.state_shapes
    variables = {"params": fresh.params, "batch_stats": fresh.batch_stats}
    for phase in {training.phase(0), training.ever()}:

        def frozen_statistics(
            images: jax.Array, variables: Any, phase: freezing.Phase = phase
        ) -> dict[freezing.Path, jax.Array]:
            _, updated = network.model.apply(
                variables | phase.marks(variables["batch_stats"]),
                network.normalize(images),
                train=True,
                mutable=["batch_stats", "auxiliary"],
                rngs={"dropout": jax.random.key(0)},
            )
            statistics = flatten_dict(updated.get("batch_stats", {}))
            return {p: leaf for p, leaf in statistics.items() if phase.rests(p[:-1])}

        mapped = jax.vmap(frozen_statistics, in_axes=(0, None), axis_name=parallel.AXIS)
        if changed := dependent(mapped, images, variables):
            raise UserError(
                f"{'/'.join(min(changed)[:-1])} is frozen, but would still normalize "
                "with the statistics of each batch. Replace this layer with "
                "cnn_jax.layers.BatchNorm, outside of nn.scan."
            )


def data_options(config: Config) -> dict[str, Any]:
    """Returns the values of `config.data` that are options of the data source."""
    return {
        key: config.data[key] for key in data.options(config.data.name) if key != "name"
    }
