"""A trained run, ready to predict: its network with a checkpoint's variables."""

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
from cnn_jax.data import bands
from cnn_jax.data.images import Picture
from cnn_jax.data.walk import check_regular
from cnn_jax.models.network import described
from cnn_jax.runs import config_json, input_files, trained
from cnn_jax.tasks import Task
from cnn_jax.tasks.resizing import Read
from cnn_jax.training import setup, views
from cnn_jax.training.config import Config

BATCH = 32

# An image file or a decoded image; or an array, uint8 [height, width],
# [height, width, channels] or of the network's own input shape. A run on float32 images
# takes float32 arrays of the network's input shape; see `data.bands` for the values.
Given = Picture | np.ndarray

# A function of the variables and a batch of images before their normalization.
Forward = Callable[[Any, np.ndarray], Any]


class Loaded:
    """A trained run.

    Attributes:
      config: the run's resolved config.
      model: a linen module, called as `model.apply(variables, images, train=False)`
        with float32 images; `network.normalize` makes them from gray levels.
      variables: the variables of the checkpoint (parameters and batch statistics) that
        evaluation uses.
      classes: the names of the classes.
      task: the task, which turns the network's outputs into answers.
      step: the number of training steps after which the checkpoint was saved.
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
        """Returns an image as gray levels for the network; see `tasks.resizing`.

        Args:
          image: a file or an array. A run on clips or volumes takes clips or volumes.

        Raises:
          UserError: if the image cannot be read, or has another shape.
        """
        return self._given(image).network

    def predict(
        self, images: Given | Sequence[Given], top_k: int | None = None
    ) -> list[list[dict[str, Any]]]:
        """Returns the task's answers for each image, the most confident answer first.

        An answer is a dict. A classifier's answer, for example, is a class and its
        probability.

        Args:
          images: one image, or several; see `preprocess`.
          top_k: the largest number of answers per image; None takes the task's default.
        """
        answers = []
        for picture, outputs in self.outputs(images):
            one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], outputs)
            answers += self.task.answers([picture], one, top_k or self.task.answered)
        return answers

    def features(self, images: Given | Sequence[Given]) -> np.ndarray:
        """Returns the last feature maps before the head, float32
        [images, *space, features].

        If the run keeps the size of each image, images may differ in size: pass one
        image at a time then.

        Raises:
          UserError: if the network has no feature maps before its head.
        """
        if not models.has_map(self.model):
            name = self.config.model.name
            raise UserError(
                f"the network {name} has no feature maps before its head: use another "
                "network."
            )
        given = [self._given(image).network for image in _several(images)]
        rows = self._batches(given, self._features)
        return np.stack([np.asarray(row, np.float32) for row in rows])

    def outputs(
        self, images: Given | Iterable[Given]
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yields a pair for each image: an image to draw on, and the network's outputs.

        The image to draw on is uint8. All images are read once before any output is
        computed, so that an unreadable image raises `UserError` early.
        """
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
            on_image = resizing.drawn_on_image
            drawn = bands.rounded(network) if on_image else self._given(image).drawn
            yield drawn, row

    def _one_by_one(
        self, images: Iterable[Given]
    ) -> Iterator[tuple[Given, np.ndarray, Any]]:
        """Yields, for each image: the given image, the network's input and the outputs.

        This method is for a run that keeps the size of each image. Images may be large,
        so only one image is in memory at a time.
        """
        for image in images:
            network = self._given(image).network
            (row,) = self._batches([network], self._forward)
            yield image, network, row

    def _given(self, image: Given) -> Read:
        """Reads a file, or checks the shape of an array."""
        if isinstance(image, np.ndarray):
            shape, dtype = self.network.image_shape, self.network.image_type
            if image.dtype == dtype and image.shape == shape:
                return Read(bands.rounded(image), image)
            if len(shape) != 3 or dtype != np.uint8:
                raise UserError(
                    f"the given array has dtype {image.dtype} and shape {image.shape}, "
                    f"but the run takes {dtype} arrays of shape {shape}, or files: "
                    "convert the array, or give a file."
                )
            image = _as_picture(image)
        elif isinstance(image, str | Path):
            check_regular(Path(image))
        return self._read(image)

    def _batches(self, given: Sequence[np.ndarray], function: Forward) -> Iterator[Any]:
        """Applies a function to images in batches; yields the outputs of each image.

        Args:
          given: images of the same shape and type.
          function: a compiled function of the variables and a batch of images.
        """
        size = min(len(given), BATCH)
        for start in range(0, len(given), size or 1):
            batch = np.stack(given[start : start + size])
            # The last batch is padded, so that one compilation serves all batches.
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
            apply = functools.partial(
                self.model.apply, variables, train=False, method=method
            )
            names = self.network.config.eval.views
            averaged = views.averaged(apply, names, self.network.task.output_kind)
            return averaged(self.network.normalize(batch))

        return forward

    @functools.cached_property
    def _features(self) -> Forward:
        @jax.jit
        def features(variables: Any, batch: jax.Array) -> jax.Array:
            return models.features(self.model, variables, self.network.normalize(batch))

        return features


def load(
    workdir: str | Path, checkpoint: str | None = None, style: Picture | None = None
) -> Loaded:
    """Returns the trained run in a folder.

    Args:
      workdir: the run's folder.
      checkpoint: see `trained.chosen_step`.
      style: the style image, for a style-transfer network that takes any style; None
        for other networks.

    Raises:
      UserError: if the folder holds no run or no such checkpoint, if new images cannot
        be prepared as in training, or if the style is missing or not accepted.
    """
    workdir = Path(workdir)
    if isinstance(style, str | Path):
        check_regular(Path(style))
    saved = config_json.read(workdir)
    config, dataset = saved.config, saved.dataset
    if config.data.get("keep_pixels", 1) < 1:
        raise UserError(
            f"the run in {workdir} was trained on a part of each image's pixels "
            "(data.keep_pixels), so the run cannot predict on other images: train a "
            "run with --config.data.keep_pixels=1."
        )
    network = setup.network(config, dataset)
    if (style is not None) != described(network.model).any_style:
        raise UserError(
            f"the run in {workdir} takes no style image: leave out --style."
            if style is not None
            else f"the run in {workdir} needs a style image: set --style=PICTURE."
        )
    read = input_files.reader(config, dataset, network.task.resizing)
    read = input_files.styled(workdir, config, network.model, read, style)
    step, variables = trained.variables_of(saved, network, checkpoint)
    return Loaded(network, variables, step, read)


def _several(images: Given | Iterable[Given]) -> list[Given]:
    if isinstance(images, str | Path | bytes | Image.Image | np.ndarray):
        return [images]
    return list(images)


def _as_picture(array: np.ndarray) -> Image.Image:
    """Returns an array of pixels as a Pillow image.

    Raises:
      UserError: if the array is not uint8 [height, width] or [height, width, 1 or 3].
    """
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3)
    ):
        raise UserError(
            f"the given array has dtype {array.dtype} and shape {list(array.shape)}, "
            "but an image must be uint8 [height, width] or [height, width, 1 or 3]: "
            "convert the array."
        )
    return Image.fromarray(array)
