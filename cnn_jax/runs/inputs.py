"""The user's files, as a run's network takes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax import data
from cnn_jax.data import images, restoration
from cnn_jax.core.errors import UserError
from cnn_jax.training import config as config_lib
from cnn_jax.training import setup


class Read(NamedTuple):
    """A picture: as it is drawn on, and as the network takes it."""

    drawn: np.ndarray
    network: np.ndarray


def reader(
    config: config_lib.Config, dataset: data.Dataset, fitted: str
) -> Callable[[Path], Read]:
    """How a run's network is given files, by its task's `fitted`.

    What it returns raises `UserError` for a file that cannot be read.
    """
    shape = dataset.image_shape
    source, _ = data.source(config.data.name)
    stored = source.files.read
    options = config_lib.arguments(config.data, stored)
    options.pop("name", None)  # of the source, and not of a picture

    def center(file: Path) -> Read:
        image = stored(file, shape, dataset.crop, **options)
        return Read(image, image)

    def stretched(file: Path) -> Read:
        picture = images.read_image(file)
        return Read(np.asarray(picture.convert("RGB")), images.stretch(picture, shape))

    def as_it_is(file: Path) -> Read:
        picture = np.asarray(images.read_image(file))
        return Read(picture, restoration.as_read(picture, shape[-1]))

    return {"center": center, "stretched": stretched, "as it is": as_it_is}[fitted]


def styled(
    workdir: Path,
    config: config_lib.Config,
    model: Any,
    read: Callable[[Path], Read],
    style: Path | None,
) -> Callable[[Path], Read]:
    """The same for a network of a style: a content beside the style, or alone where the
    network knows its style.

    What it returns raises `UserError` too for another picture than the one that the run
    has changed.
    """
    if style:
        painted = images.read_image(style)

        def beside(file: Path) -> Read:
            drawn, content = read(file)
            return Read(drawn, np.stack([content, images.fit(painted, content.shape)]))

        return beside
    if not model.one_picture:
        return read
    ((own, _),) = setup.dataset(config).splits["test"].images

    def only_its_own(file: Path) -> Read:
        content = images.fit(file, own.shape)
        if not np.array_equal(content, own):
            raise UserError(
                f"the run in {workdir} changed one picture, "
                f"{config.data.file or 'an embedded one'}, and can change no other: "
                f"{file} needs a run of its own."
            )
        return Read(content, content)

    return only_its_own
