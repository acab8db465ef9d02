"""Augmentations of the images to train on. Each stands in its own file."""

import inspect
from collections.abc import Sequence

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import Key, keywords
from cnn_jax.data.augmentations.augmentation import Augmentation
from cnn_jax.data.augmentations.crop import Crop
from cnn_jax.data.augmentations.flip import Flip
from cnn_jax.data.augmentations.light import Light
from cnn_jax.data.augmentations.rotation import Rotation

# In the order in which they are applied.
BUILT_IN: tuple[type[Augmentation], ...] = (Crop, Flip, Rotation, Light)
# The key that names further ones, by their import paths.
NAMES = Key(tuple[str, ...], ())


def find(names: Sequence[str] = ()) -> list[type[Augmentation]]:
    """Returns all augmentations of a config: ours, and those at import paths.

    Raises:
      UserError: a path leads to no augmentation.
    """
    found = list(BUILT_IN)
    for name in names:
        kind = imports.find("augmentation", name, {})
        if not (inspect.isclass(kind) and issubclass(kind, Augmentation)):
            raise UserError(
                f"augmentation '{name}' is {kind!r}; it must be a subclass of "
                "cnn_jax.data.augmentations.augmentation.Augmentation."
            )
        found.append(kind)
    return found


def options(names: Sequence[str] = ()) -> dict[str, Key]:
    """Returns the keys of config group `data` that augmentations read.

    Args:
      names: further augmentations, `data.augmentations`.

    Raises:
      UserError: as `find`, and where two augmentations read the same key.
    """
    known: dict[str, Key] = {"augmentations": NAMES}
    for kind in find(names):
        own = keywords(kind)
        if both := own.keys() & known.keys():
            raise UserError(
                f"the augmentation {kind.__qualname__} has a key '{min(both)}', which "
                "is taken: rename it."
            )
        known |= own
    return known
