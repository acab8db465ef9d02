"""The base class of label kinds.

The methods of the base class suit one label for a whole image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError

Shape = tuple[int, ...]


class Move(NamedTuple):
    """The movement of the pixels of one example by an augmentation.

    Attributes:
      picture: a function `(image, outside=0, factor=1, nearest=False)` that returns the
        moved image. It can also move a label picture that is `factor` times as large as
        the image. Pixels from outside of the picture get the value `outside`. With
        `nearest`, the nearest pixel is taken instead of interpolating.
      points: a function from the positions of points in the image to their new
        positions, float32 [n, 2]. Positions are (row, column) in pixels from the upper
        left corner of the image.
    """

    picture: Callable[..., Any]
    points: Callable[[Any], Any]


@dataclass(frozen=True)
class LabelStatistics:
    """Statistics of the labels of a training split; a task may need them for its loss.

    Attributes:
      counts: the number of examples of each class, or of its pixels; empty: unknown, or
        the labels are no classes.
      mean, std: the mean and the standard deviation of each value of the labels; empty:
        unknown, or the labels are no values.
    """

    counts: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


UNKNOWN = LabelStatistics()


class LabelKind:
    """A kind of labels: how they are stored, checked, described and augmented.

    Attributes:
      name: the name of a built-in label kind in config.json. In place of a name, a
        user's label kind has its import path.
      described: the label kind in words for errors, such as "one label per pixel".
      dtype: the type of a split's labels.
      expected: the shape of a split's labels in words, for errors.
      movable: whether training may move the pixels of the images. Labels with positions
        in the image are moved in the same way; see `moved`.
      recolorable: whether training may change the pixel values of the images.
      mixable: whether training may mix two images and their labels.
      paired: whether an image consists of two pictures, a content picture and a style
        picture.
    """

    name: str
    described: str
    dtype: np.dtype
    expected: str
    movable: bool = True
    recolorable: bool = True
    mixable: bool = False
    paired: bool = False

    @property
    def positioned(self) -> bool:
        """True if labels have positions in the image, which `moved` moves."""
        return type(self).moved is not LabelKind.moved

    def shape(self, image_shape: Shape) -> Shape | None:
        """Returns the shape of one label.

        The result is None if the shape of the images does not determine the shape of
        the labels.

        Args:
          image_shape: the shape of the images.
        """
        del image_shape
        return None

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        """Returns whether images of `image_shape` may have labels of `label_shape`."""
        return label_shape == self.shape(image_shape)

    def classes_in(self, labels: np.ndarray) -> np.ndarray:
        """Returns all classes that occur in the labels of a split, as one array."""
        del labels
        return np.empty(0, np.int32)

    def check_range(self, labels: np.ndarray, classes: int, role: str) -> None:
        """Raises `UserError` if a label is negative, or not below the number of
        classes.

        Args:
          labels: the labels of a split.
          classes: the number of classes.
          role: the name of the split, for errors.
        """
        found = self.classes_in(labels)
        if found.size and (found.min() < 0 or found.max() >= classes):
            raise UserError(
                f"the {role} split has labels from {found.min()} to {found.max()}; for "
                f"{classes} classes, labels must be from 0 to {classes - 1} (-1: an "
                "example without a label). Correct the labels, or choose another split."
            )

    def statistics(self, labels: np.ndarray, classes: int) -> LabelStatistics:
        """Returns the statistics of the labels of a training split.

        Args:
          labels: the labels of the split.
          classes: the number of classes.
        """
        del labels, classes
        return UNKNOWN

    def moved(self, label: Any, moves: Sequence[Move], size: tuple[int, int]) -> Any:
        """Returns the label of an image after the movements of the image's pixels.

        Args:
          label: the label before the movements.
          moves: the movements, in the order in which they are applied.
          size: (height, width) of the image.
        """
        del moves, size
        return label

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        """Returns random labels, for measurements without data.

        Args:
          shape: the shape of the labels, [n, ...].
          classes: the number of classes.
        """
        return rng.integers(0, max(classes, 1), shape, np.int32)
