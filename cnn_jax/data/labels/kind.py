"""The type of a label kind, whose defaults are right for a label of the whole image."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError

Shape = tuple[int, ...]


class Move(NamedTuple):
    """What an augmentation that moves pixels does to one example.

    Attributes:
      picture: `(image, outside=0, factor=1, nearest=False)`: the moved image or other
        picture; `outside` fills what lay outside of it, a picture is `factor` times as
        large as the image, and `nearest` keeps values, where others may be mixed.
      points: float32 [n, 2] -> [n, 2]: where points (row, column) of the image go, in
        pixels from its upper left corner.
    """

    picture: Callable[..., Any]
    points: Callable[[Any], Any]


class LabelKind:
    """How labels of one kind are stored, checked, described and augmented.

    Attributes:
      name: what config.json calls a kind of ours; one of a user goes by its import
        path.
      described: the kind in errors, such as "one label a pixel".
      dtype: of a split's labels.
      expected: their shape in words.
      movable: whether training may move the pixels of the images. The labels that lie
        in an image are moved too, by `moved`.
      recolorable: whether training may change the values of the images' pixels.
      paired: an image is two pictures, a content and a style.
    """

    name: str
    described: str
    dtype: np.dtype
    expected: str
    movable: bool = True
    recolorable: bool = True
    paired: bool = False

    def shape(self, image_shape: Shape) -> Shape | None:
        """Returns the shape of a label, or None if the data alone decides it."""
        del image_shape
        return None

    def fits(self, label_shape: Shape, image_shape: Shape) -> bool:
        """Returns whether an image may have a label of this shape."""
        return label_shape == self.shape(image_shape)

    def classes_in(self, labels: np.ndarray) -> np.ndarray:
        """Returns the classes that occur in a split's labels, in any shape."""
        del labels
        return np.empty(0, np.int32)

    def check_range(self, labels: np.ndarray, classes: int, role: str) -> None:
        """Raises UserError unless each class in the labels is below `classes`."""
        found = self.classes_in(labels)
        if found.size and (found.min() < 0 or found.max() >= classes):
            raise UserError(
                f"the {role} split has examples without a label "
                f"({found.min()} to {found.max()} for {classes} classes); choose "
                "another split."
            )

    def moved(self, label: Any, moves: Sequence[Move], size: tuple[int, int]) -> Any:
        """Returns the label of an image of `size` (height, width) after its moves."""
        del moves, size
        return label

    def random(
        self, rng: np.random.Generator, shape: Shape, classes: int
    ) -> np.ndarray:
        """Returns random labels [n, ...] of a shape, for measurements without data."""
        return rng.integers(0, max(classes, 1), shape, np.int32)
