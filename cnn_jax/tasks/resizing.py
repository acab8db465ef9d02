"""How `predict` makes an image of the network's size from a user's file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnn_jax.data import images, restoration
from cnn_jax.data.splits import Shape


class Read(NamedTuple):
    """The picture, clip or volume of a file, uint8.

    Attributes:
      drawn: as answers are drawn on it.
      network: as the network takes it.
    """

    drawn: np.ndarray
    network: np.ndarray


# What the data source makes of a file: an image of the network's shape.
Stored = Callable[[images.Picture], np.ndarray]


@dataclass(frozen=True)
class Resizing:
    """One way from a file to an image.

    Attributes:
      read: `(file, image_shape, stored)` to the `Read`.
      one_size: whether all images have the network's size, and can make a batch.
      drawn_on_image: whether answers are drawn on the image itself, so that the file
        need not be read again.
    """

    read: Callable[[images.Picture, Shape, Stored], Read]
    one_size: bool = True
    drawn_on_image: bool = False


def _center_crop(file: images.Picture, shape: Shape, stored: Stored) -> Read:
    del shape
    image = stored(file)
    return Read(image, image)


def _stretched(file: images.Picture, shape: Shape, stored: Stored) -> Read:
    del stored
    height, width, channels = shape
    picture = images.read_image(file)
    stretched = images.stretch(picture, (height, width, channels))
    return Read(np.asarray(picture.convert("RGB")), stretched)


def _unchanged(file: images.Picture, shape: Shape, stored: Stored) -> Read:
    del stored
    picture = np.asarray(images.read_image(file))
    return Read(picture, restoration.as_read(picture, shape[-1]))


# The largest centered box of the image's aspect ratio, as in evaluation; of clips and
# volumes whatever the data source takes.
CENTER_CROP = Resizing(_center_crop, drawn_on_image=True)
# The whole picture, whatever its aspect ratio.
STRETCHED = Resizing(_stretched)
# Every picture is an image of a size of its own.
UNCHANGED = Resizing(_unchanged, one_size=False)
