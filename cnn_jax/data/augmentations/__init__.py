"""Augmentations of the training images, one file each."""

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

# The built-in augmentations, in the order of their application.
BUILT_IN: tuple[type[Augmentation], ...] = (Crop, Flip, Rotation, Light)
# The key `data.augmentations`: import paths of further augmentations.
NAMES = Key(tuple[str, ...], ())


def find(names: Sequence[str] = ()) -> list[type[Augmentation]]:
    """Returns the built-in augmentations, and then the augmentations at import paths.

    Args:
      names: the import paths, `data.augmentations`.

    Raises:
      UserError: a path does not lead to an augmentation.
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
    """Returns the keys of the config group `data` that the augmentations read.

    Args:
      names: the import paths of the user's augmentations, `data.augmentations`.

    Raises:
      UserError: a path does not lead to an augmentation, or two augmentations read the
        same key.
    """
    known: dict[str, Key] = {"augmentations": NAMES}
    for kind in find(names):
        own = keywords(kind)
        if both := own.keys() & known.keys():
            raise UserError(
                f"augmentation {kind.__qualname__} has a config key '{min(both)}', "
                "which another augmentation uses too: rename the key."
            )
        known |= own
    return known
