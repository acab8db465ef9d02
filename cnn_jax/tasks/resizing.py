"""How `predict` turns a user's file into an image for the network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnn_jax.data import bands, images, restoration
from cnn_jax.data.splits import Shape


class Read(NamedTuple):
    """A file's picture, clip or volume as two arrays.

    Attributes:
      drawn: the array on which answers are drawn, uint8.
      network: the array that the network takes, uint8 or float32.
    """

    drawn: np.ndarray
    network: np.ndarray


@dataclass(frozen=True)
class Stored:
    """Reads a file as the data source does, to an image of the network's shape.

    Attributes:
      function: the function that reads the file.
      value_range: see `bands.read`.
    """

    function: Callable[[images.Picture], np.ndarray]
    value_range: bands.ValueRange = None

    def __call__(self, file: images.Picture) -> np.ndarray:
        return self.function(file)


@dataclass(frozen=True)
class Resizing:
    """A way to turn a user's file into an image for the network.

    Attributes:
      read: a function of `(file, image_shape, stored)` that returns a `Read`.
        `image_shape` is the shape of the network's images, and `stored` is a `Stored`.
      one_size: whether all images have the network's size, so that several images can
        form a batch.
      drawn_on_image: whether answers are drawn on the network's image. Then the file
        need not be read again to draw the answers.
    """

    read: Callable[[images.Picture, Shape, Stored], Read]
    one_size: bool = True
    drawn_on_image: bool = False


def _center_crop(file: images.Picture, shape: Shape, stored: Stored) -> Read:
    del shape
    image = stored(file)
    return Read(bands.rounded(image), image)


def _stretched(file: images.Picture, shape: Shape, stored: Stored) -> Read:
    value_range = stored.value_range
    height, width, channels = shape
    if value_range is not None or bands.is_banded(file, channels):
        pixels = bands.read(file, channels, images.described(file), value_range)
        stretched = images.stretch(file, shape, value_range=value_range)
        return Read(bands.shown(pixels), stretched)
    picture = images.read_image(file)
    stretched = images.stretch(picture, (height, width, channels))
    return Read(np.asarray(picture.convert("RGB")), stretched)


def _unchanged(file: images.Picture, shape: Shape, stored: Stored) -> Read:
    del stored
    picture = np.asarray(images.read_image(file))
    return Read(picture, restoration.as_read(picture, shape[-1]))


# The largest centered box of the image's aspect ratio, as in evaluation. Clips and
# volumes are cropped as the data source does.
CENTER_CROP = Resizing(_center_crop, drawn_on_image=True)
# The whole picture; its aspect ratio may change.
STRETCHED = Resizing(_stretched)
# Every picture keeps its own size.
UNCHANGED = Resizing(_unchanged, one_size=False)
