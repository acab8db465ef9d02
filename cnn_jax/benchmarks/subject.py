"""The network that a benchmark measures: a config's network, on random images."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from cnn_jax import data, models, tasks
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError
from cnn_jax.data import labels
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.data.source import Description
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import config as config_lib
from cnn_jax.training import parallel, setup
from cnn_jax.training.config import Config

# The number of training examples; the schedule needs it, the speed does not.
EXAMPLES = 50_000


@dataclass(frozen=True)
class Request:
    """A request to measure a network.

    Attributes:
      config: the config file, `FILE.py[:ARG]`; None takes the default config with the
        network `model`.
      model: the name of the network; ignored if `config` is given.
      overrides: config values as texts, by dotted key.
      input_shape: the shape of one image or clip. None takes the shape of the config's
        data or, without `config`, the network's published input shape.
    """

    config: str | None = None
    model: str = ""
    overrides: Mapping[str, str] = dataclasses.field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None

    def resolve(self) -> Config:
        """Returns the request's config, with every default filled in."""
        if self.config:
            values = config_lib.load_file(self.config)
        else:
            values = config_lib.default().to_dict() | {"model": {"name": self.model}}
            kind = models.output_kind(models.create(self.model))
            if tasks.find(values["task"]["name"]).output_kind != kind:
                fitting = (n for n, t in tasks.TASKS.items() if t.output_kind == kind)
                values["task"] = {"name": next(fitting, values["task"]["name"])}
        return resolve(values, self.overrides)

    def at(self, batch_size: int) -> "Request":
        """Returns the request with another batch size."""
        size = {"data.batch_size": str(batch_size)}
        return dataclasses.replace(self, overrides={**self.overrides, **size})


@dataclass(frozen=True)
class Subject:
    """The network that is measured, with the same steps as in a run of its config.

    Attributes:
      config: the resolved config.
      network: the network.
      training: the network with its optimizer and the other parts of training.
      dtype: the dtype of the computation.
      macs: the multiply-accumulates for one image in evaluation.
      parameters: the number of trainable parameters that evaluation uses.
    """

    config: Config
    network: setup.Network
    training: setup.Training
    dtype: str
    macs: int
    parameters: int

    @property
    def batch_size(self) -> int:
        """The number of images per step, summed over all devices."""
        return self.config.data.batch_size

    def fresh_state(self) -> Any:
        """Returns the training state before the first step."""
        return self.training.fresh_state()

    def step(self, mode: str) -> Any:
        """Returns the training step ("train") or the evaluation step ("infer").

        The step divides a batch among all devices.
        """
        if mode == "infer":
            return self.network.eval_step()
        return self.training.step()

    def batch(self, mode: str) -> dict[str, np.ndarray]:
        """Returns a batch of random images and labels on the host.

        The batch has the same keys, shapes and dtypes as a batch of the data loader.

        Args:
          mode: "train" or "infer".
        """
        rng, size = np.random.default_rng(0), self.batch_size
        shape = (size, *self.network.image_shape)
        classes = len(self.network.task.classes)
        kind = labels.find(self.network.label_kind)
        label_shape = (size, *self.network.label_shape)
        rows = {
            "image": rng.integers(0, 256, shape, np.uint8).astype(
                self.network.image_type
            ),
            "label": kind.random(rng, label_shape, classes),
            "index": np.arange(size, dtype=np.int32),
        }
        if mode == "infer":
            return rows | {"mask": np.ones(size, np.float32)}
        return rows | {"epoch": np.zeros(size, np.int32)}

    def arguments(
        self, mode: str, state: Any, batch: Mapping[str, np.ndarray]
    ) -> tuple[Any, ...]:
        """Returns the arguments of a step, copied to all devices.

        They are state, batch and random key in training, and variables and batch in
        inference.

        Args:
          mode: "train" or "infer".
          state: the training state.
          batch: the result of the method `batch`.
        """
        rows = parallel.put_batch(batch)
        if mode == "infer":
            return parallel.replicate(state.variables()), rows
        key = jax.random.key(self.config.seed)
        return parallel.replicate(state), rows, parallel.replicate(key)

    def normalized(self, images: np.ndarray) -> np.ndarray:
        """Returns images normalized as the network's float32 input."""
        return np.asarray(jax.jit(self.network.normalize)(images))


def of_config(config: Config) -> Subject:
    """Makes the network that a resolved config describes, for the config's own data.

    Raises:
      UserError: as `make`.
    """
    options = setup.data_options(config)
    return _subject(config, data.describe(config.data.name, **options))


def make(request: Request) -> Subject:
    """Makes the network that a request describes.

    Raises:
      UserError: if there is no such config, network or data, or if the network or the
        augmentation cannot take the input shape.
    """
    config = request.resolve()
    described = _described(request, config)
    if request.input_shape:
        shape, kind = request.input_shape, labels.find(described.label_kind)
        described = described._replace(
            image_shape=shape,
            label_shape=kind.shape(shape) or described.label_shape,
        )
    return _subject(config, described)


def _subject(config: Config, described: Description) -> Subject:
    """Returns the network of a config, for data with these shapes and labels."""
    classes, shape, label_shape, label_kind, image_type = described
    channels = shape[-1]
    dataset = Dataset(
        splits={},
        classes=classes,
        image_shape=shape,
        mean=IMAGENET_MEAN.get(channels, (0.5,) * channels),
        std=IMAGENET_STD.get(channels, (0.25,) * channels),
        image_type=image_type,
        label_shape=label_shape,
        label_kind=label_kind,
    )
    network = setup.network(config, dataset)
    training = setup.training(network, EXAMPLES)
    try:
        table = costs.layer_table(network.model, shape)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the network cannot take an input of shape {shape} (--input_shape): "
            f"{error}"
        ) from error
    return Subject(
        config,
        network,
        training,
        dtype=config.model.get("dtype") or "float32",
        macs=table.macs,
        parameters=table.parameters,
    )


def _described(request: Request, config: Config) -> Description:
    """Returns the classes, the shapes and the kind of labels of a request's data.

    Without a config file, the published setting of the network defines them.
    """
    if request.config:
        return data.describe(config.data.name, **setup.data_options(config))
    published = models.published(request.model)
    # A network that outputs images has no classes.
    count = config.model.num_classes or published.num_classes or 0
    shape = request.input_shape or models.published_shape(request.model)
    kind = tasks.find(config.task.name).label_kind
    label_shape = labels.find(kind).shape(shape)
    if label_shape is None:
        kind, label_shape = labels.CLASS.name, ()
    return Description(tuple(map(str, range(count))), shape, label_shape, kind)
