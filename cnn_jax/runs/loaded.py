"""A trained run that is ready for images: its network and a checkpoint's variables."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from PIL import Image

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.data.images import Picture
from cnn_jax.data.walk import check_regular
from cnn_jax.models.network import described
from cnn_jax.runs import config_json, input_files, trained
from cnn_jax.tasks import Task
from cnn_jax.tasks.resizing import Read
from cnn_jax.training import setup
from cnn_jax.training.config import Config

BATCH = 32

# An encoded or decoded picture, uint8 [height, width] or [height, width, channels], or
# an array of the network's own shape.
Given = Picture | np.ndarray

# A function of the variables and a batch of images, uint8.
Forward = Callable[[Any, np.ndarray], Any]


class Loaded:
    """A trained run.

    Attributes:
      config: the run's resolved config.
      model: a linen module, called as `model.apply(variables, images, train=False)`
        with float32 images that `network.normalize` makes of uint8.
      variables: of the checkpoint, as evaluation applies them.
      classes: the names of the classes.
      task: says what outputs mean.
      step: the number of steps after which the checkpoint was saved.
    """

    def __init__(
        self,
        network: setup.Network,
        variables: Any,
        step: int,
        read: Callable[[Picture], Read],
    ):
        self.network, self.variables, self.step = network, variables, step
        self._read = read

    @property
    def config(self) -> Config:
        return self.network.config

    @property
    def model(self) -> nn.Module:
        return self.network.model

    @property
    def task(self) -> Task:
        return self.network.task

    @property
    def classes(self) -> tuple[str, ...]:
        return self.network.task.classes

    def preprocess(self, image: Given) -> np.ndarray:
        """Returns an image as the network takes it, uint8: see `tasks.resizing`.

        Args:
          image: a file or an array; of a run of clips or volumes, a clip or volume.

        Raises:
          UserError: the image cannot be read, or has another shape.
        """
        return self._given(image).network

    def predict(
        self, images: Given | Sequence[Given], top_k: int | None = None
    ) -> list[list[dict[str, Any]]]:
        """Returns the task's answers to each image, the surest first.

        Args:
          images: one image, or several: see `preprocess`.
          top_k: at most so many answers an image; None: the task's own number.
        """
        answers = []
        for picture, outputs in self.outputs(images):
            one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], outputs)
            answers += self.task.answers([picture], one, top_k or self.task.answered)
        return answers

    def features(self, images: Given | Sequence[Given]) -> np.ndarray:
        """Returns the last map before the head of each image, float32
        [images, *space, features]; of images of sizes of their own, one at a time.

        Raises:
          UserError: the network has no such map.
        """
        if not models.has_map(self.model):
            name = self.config.model.name
            raise UserError(f"{name} has no map before its head: it has no features.")
        given = [self._given(image).network for image in _several(images)]
        rows = self._batches(given, self._features)
        return np.stack([np.asarray(row, np.float32) for row in rows])

    def outputs(
        self, images: Given | Iterable[Given]
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yields of each image its pixels, as answers are drawn on them, and the
        network's outputs. All images are read before anything is computed."""
        several, resizing = _several(images), self.task.resizing
        if resizing.one_size:
            given = [self._given(image).network for image in several]
            rows = self._batches(given, self._forward)
            found: Iterator = zip(several, given, rows, strict=True)
        else:
            for image in several:
                self._given(image)
            found = self._one_by_one(several)
        for image, network, row in found:
            drawn = network if resizing.drawn_on_image else self._given(image).drawn
            yield drawn, row

    def _one_by_one(
        self, images: Iterable[Given]
    ) -> Iterator[tuple[Given, np.ndarray, Any]]:
        """Yields each image as given and as the network takes it, and its outputs.

        Pictures of many sizes may be large: only one is held at a time.
        """
        for image in images:
            network = self._given(image).network
            (row,) = self._batches([network], self._forward)
            yield image, network, row

    def _given(self, image: Given) -> Read:
        if isinstance(image, np.ndarray):
            shape = self.network.image_shape
            if image.dtype == np.uint8 and image.shape == shape:
                return Read(image, image)
            if len(shape) != 3:
                raise UserError(
                    f"the run takes files, or uint8 arrays of {shape}, and this one is "
                    f"{image.dtype} of {image.shape}."
                )
            image = _as_picture(image)
        elif isinstance(image, str | Path):
            check_regular(Path(image))
        return self._read(image)

    def _batches(self, given: Sequence[np.ndarray], function: Forward) -> Iterator[Any]:
        """Yields the rows of a function of the variables and images, batch by batch."""
        size = min(len(given), BATCH)
        for start in range(0, len(given), size or 1):
            batch = np.stack(given[start : start + size])
            # One shape for all batches, one compilation.
            missing = np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)
            padded = np.concatenate([batch, missing])
            found = jax.device_get(function(self.variables, padded))
            for number in range(len(batch)):
                yield jax.tree.map(lambda rows, i=number: rows[i], found)

    @functools.cached_property
    def _forward(self) -> Forward:
        method = described(self.model).predicted

        @jax.jit
        def forward(variables: Any, batch: jax.Array) -> Any:
            images = self.network.normalize(batch)
            return self.model.apply(variables, images, train=False, method=method)

        return forward

    @functools.cached_property
    def _features(self) -> Forward:
        @jax.jit
        def features(variables: Any, batch: jax.Array) -> jax.Array:
            return models.features(self.model, variables, self.network.normalize(batch))

        return features


def load(
    workdir: str | Path, checkpoint: str = "best", style: Picture | None = None
) -> Loaded:
    """Returns the trained run in a folder.

    Args:
      checkpoint: "best", "last" or a number of steps.
      style: the picture whose style images get, where the network takes any.

    Raises:
      UserError: the folder is not a run's, or has no such checkpoint; the run cannot
        see pictures as it was trained; or its network needs a style, or takes none.
    """
    workdir = Path(workdir)
    if isinstance(style, str | Path):
        check_regular(Path(style))
    saved = config_json.read(workdir)
    config, dataset = saved.config, saved.dataset
    if config.data.get("keep_pixels", 1) < 1:
        raise UserError(
            f"the run in {workdir} sees a part of the pixels of its own images "
            "(data.keep_pixels): it cannot see pictures as it was trained."
        )
    network = setup.network(config, dataset)
    if (style is not None) != described(network.model).any_style:
        raise UserError(
            f"the run in {workdir} knows no style but its own: leave out --style."
            if style is not None
            else f"the run in {workdir} takes any style: set --style=PICTURE."
        )
    read = input_files.reader(config, dataset, network.task.resizing)
    read = input_files.styled(workdir, config, network.model, read, style)
    step, variables = trained.variables_of(workdir, network, checkpoint)
    return Loaded(network, variables, step, read)


def _several(images: Given | Iterable[Given]) -> list[Given]:
    if isinstance(images, str | Path | bytes | Image.Image | np.ndarray):
        return [images]
    return list(images)


def _as_picture(array: np.ndarray) -> Image.Image:
    """Returns an array of pixels as a picture.

    Raises:
      UserError: it is not uint8 [height, width] or [height, width, 1 or 3].
    """
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3)
    ):
        raise UserError(
            "an image must be uint8 [height, width] or [height, width, 1 or 3]; this "
            f"one is {array.dtype} {list(array.shape)}."
        )
    return Image.fromarray(array)
