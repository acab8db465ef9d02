"""The base class of label kinds. Its defaults suit one label for a whole image."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError

Shape = tuple[int, ...]


class Move(NamedTuple):
    """The movement of pixels by an augmentation, for one example.

    Attributes:
      picture: `(image, outside=0, factor=1, nearest=False)` returns the moved image, or
        another moved picture that is `factor` times as large as the image. Pixels from
        outside of the picture get the value `outside`. With `nearest`, values are kept
        and not interpolated.
      points: float32 [n, 2] -> [n, 2]: the new positions of points (row, column) of the
        image, in pixels from its upper left corner.
    """

    picture: Callable[..., Any]
    points: Callable[[Any], Any]


class LabelKind:
    """How labels of one kind are stored, checked, described and augmented.

    Attributes:
      name: the name of a built-in kind in config.json. A user's kind is named by its
        import path.
      described: the kind in errors, such as "one label per pixel".
      dtype: the type of a split's labels.
      expected: the shape of a split's labels, in words.
      movable: whether training may move the pixels of the images. Labels with positions
        in the image move with them; see `moved`.
      recolorable: whether training may change the pixel values of the images.
      paired: whether an image is two pictures, a content and a style.
    """

    name: str
    described: str
    dtype: np.dtype
    expected: str
    movable: bool = True
    recolorable: bool = True
    paired: bool = False

    def shape(self, image_shape: Shape) -> Shape | None:
        """Returns the shape of a label, or None if only the data determine it."""
        del image_shape
        return None

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        """Returns whether an image may have a label of this shape."""
        return label_shape == self.shape(image_shape)

    def classes_in(self, labels: np.ndarray) -> np.ndarray:
        """Returns the classes that occur in a split's labels, as an array."""
        del labels
        return np.empty(0, np.int32)

    def check_range(self, labels: np.ndarray, classes: int, role: str) -> None:
        """Raises `UserError` unless all classes in the labels are below `classes`."""
        found = self.classes_in(labels)
        if found.size and (found.min() < 0 or found.max() >= classes):
            raise UserError(
                f"the {role} split has examples without a label "
                f"({found.min()} to {found.max()} for {classes} classes); choose "
                "another split."
            )

    def moved(self, label: Any, moves: Sequence[Move], size: tuple[int, int]) -> Any:
        """Returns the label of an image of `size` (height, width) after the moves."""
        del moves, size
        return label

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        """Returns random labels of `shape`, [n, ...], for measurements without data."""
        return rng.integers(0, max(classes, 1), shape, np.int32)
