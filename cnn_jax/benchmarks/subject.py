"""What is measured: the network and the steps of a config, on random images."""

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

# The length of training, which the schedule asks for, is of no matter to the speed.
EXAMPLES = 50_000


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
      config: `FILE.py[:ARG]`; None takes the default recipe of `model`.
      model: the name of a network; not read where there is a config.
      overrides: the text of values of the config.
      input_shape: of one image or clip; None: that of the config's data, or the one
        that the network was published with.
    """

    config: str | None = None
    model: str = ""
    overrides: Mapping[str, str] = dataclasses.field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None

    def resolve(self) -> Config:
        """The whole config."""
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
        """The same with batches of so many images."""
        size = {"data.batch_size": str(batch_size)}
        return dataclasses.replace(self, overrides={**self.overrides, **size})


@dataclass(frozen=True)
class Subject:
    """A config's network and training, as a run would have them.

    Attributes:
      dtype: of the computation.
      macs: multiply-accumulates on one image in evaluation.
      parameters: trainable ones that evaluation uses.
    """

    config: Config
    network: setup.Network
    training: setup.Training
    dtype: str
    macs: int
    parameters: int

    @property
    def batch_size(self) -> int:
        """Images a step, over all devices."""
        return self.config.data.batch_size

    def fresh_state(self) -> Any:
        """That before the first step."""
        return self.training.fresh_state()

    def step(self, mode: str) -> Any:
        """The mapped step: the training loop's, or evaluation's."""
        if mode == "infer":
            return self.network.eval_step()
        return self.training.step()

    def batch(self, mode: str) -> dict[str, np.ndarray]:
        """Random images and labels, on the host, as the loader of `mode` makes them."""
        rng, size = np.random.default_rng(0), self.batch_size
        shape = (size, *self.network.image_shape)
        classes = len(self.network.task.classes)
        kind = labels.find(self.network.label_kind)
        label_shape = (size, *self.network.label_shape)
        rows = {
            "image": rng.integers(0, 256, shape, np.uint8),
            "label": kind.random(rng, label_shape, classes),
            "index": np.arange(size, dtype=np.int32),
        }
        if mode == "infer":
            return rows | {"mask": np.ones(size, np.float32)}
        return rows | {"epoch": np.zeros(size, np.int32)}

    def inputs(self, mode: str, state: Any) -> Any:
        """What the step of `mode` takes beside the batch, on the devices."""
        return parallel.replicate(state if mode == "train" else state.variables())

    def normalized(self, images: np.ndarray) -> np.ndarray:
        """Images as the network takes them, in float32."""
        return np.asarray(jax.jit(self.network.normalize)(images))


def make(request: Request) -> Subject:
    """What a request asks for.

    Raises:
      UserError: there is no such config, network or data, or the network or the
        augmentation cannot take such an input.
    """
    config = request.resolve()
    classes, shape, label_shape, label_kind = _described(request, config)
    if request.input_shape:
        shape = request.input_shape
        label_shape = labels.find(label_kind).shape(shape) or label_shape
    channels = shape[-1]
    dataset = Dataset(
        splits={},
        classes=classes,
        image_shape=shape,
        mean=IMAGENET_MEAN.get(channels, (0.5,) * channels),
        std=IMAGENET_STD.get(channels, (0.25,) * channels),
        label_shape=label_shape,
        label_kind=label_kind,
    )
    network = setup.network(config, dataset)
    training = setup.training(network, EXAMPLES)
    try:
        table = costs.layer_table(network.model, shape)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the network cannot take an input of {shape}: {error}"
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
    """Returns the classes and shapes of the config's data, or of the named network."""
    if request.config:
        return data.describe(config.data.name, **setup.data_options(config))
    published = models.published(request.model)
    # A network that makes images has no classes.
    count = config.model.num_classes or published.num_classes or 0
    shape = request.input_shape or models.published_shape(request.model)
    kind = tasks.find(config.task.name).label_kind
    label_shape = labels.find(kind).shape(shape)
    if label_shape is None:
        kind, label_shape = labels.CLASS.name, ()
    return Description(tuple(map(str, range(count))), shape, label_shape, kind)
