"""Functions that read the user's files as inputs of a run's network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import images
from cnn_jax.data.splits import Arrays
from cnn_jax.models.network import described
from cnn_jax.tasks.resizing import Read, Resizing, Stored
from cnn_jax.training import config as config_lib
from cnn_jax.training import setup


def reader(
    config: config_lib.Config, dataset: data.Dataset, resizing: Resizing
) -> Callable[[images.Picture], Read]:
    """Returns a function that reads a file as an input of a run's network.

    The function raises `UserError` for a file that cannot be read.

    Args:
      config: the run's resolved config.
      dataset: the run's data set; only its image shape and its crop are used.
      resizing: how the task resizes an image.
    """
    shape = dataset.image_shape
    source, _ = data.source(config.data.name)
    read = source.files.read
    options = config_lib.arguments(config.data, read)
    stored = Stored(
        lambda file: read(file, shape, dataset.crop, **options),
        options.get("value_range"),
    )
    return lambda file: resizing.read(file, shape, stored)


def styled(
    workdir: Path,
    config: config_lib.Config,
    model: Any,
    read: Callable[[images.Picture], Read],
    style: images.Picture | None,
) -> Callable[[images.Picture], Read]:
    """Returns a function that reads a file as an input of a style-transfer network.

    With a style image, the input is the pair [content image, style image], stacked
    along a new first axis. Without a style image, the input is the image alone. If the
    network was trained on a single picture, the function raises `UserError` for any
    other picture.

    Args:
      workdir: the run's folder, named in the error.
      config: the run's resolved config.
      model: the network.
      read: the function that reads the content image; see `reader`.
      style: the style image, or None.
    """
    if style is not None:
        painted = images.read_image(style)

        def beside(file: images.Picture) -> Read:
            drawn, content = read(file)
            return Read(drawn, np.stack([content, images.fit(painted, content.shape)]))

        return beside
    if not described(model).one_picture:
        return read
    split = setup.dataset(config).splits["test"]
    assert isinstance(split, Arrays)  # it has one example: the picture and its style
    ((own, _),) = split.images

    def only_its_own(file: images.Picture) -> Read:
        content = images.fit(file, own.shape)
        if not np.array_equal(content, own):
            given = file if isinstance(file, str | Path) else "the given picture"
            raise UserError(
                f"the run in {workdir} was trained on one picture, "
                f"{config.data.file or 'an embedded picture'}, and cannot stylize any "
                f"other picture: train another run for {given} (config.data.file)."
            )
        return Read(content, content)

    return only_its_own
