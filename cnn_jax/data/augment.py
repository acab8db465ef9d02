"""Augmentation and normalization on the device, inside the compiled step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32, Key, UInt8

from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Part
from cnn_jax.data import augmentations, labels
from cnn_jax.data.augmentations.augmentation import Augmentation

Images = UInt8[Array, "batch *space channels"] | Float[Array, "batch *space channels"]


@dataclass(frozen=True)
class Augment:
    """A sequence of augmentations for batches.

    The random changes of an example depend only on the run's key, on the epoch, and on
    the index of the example in its split.

    Attributes:
      label_kind: the name of the label kind; see `labels`. If an augmentation moves the
        pixels of an image, labels with positions in the image (such as boxes) move too.
      steps: the augmentations, in the order in which they are applied.
    """

    label_kind: str = "class"
    steps: tuple[Augmentation, ...] = ()

    @property
    def changes(self) -> bool:
        """True if there are any augmentations."""
        return bool(self.steps)

    def __call__(
        self, key: Key[Array, ""], batch: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Returns the batch with augmented images and matching labels.

        Args:
          key: the run's key; the key of each example is derived from it.
          batch: the batch of `loading.train_batches`: "image", "label", "index" and
            "epoch".
        """
        batch = dict(batch)
        if not self.changes:
            return batch
        draws = batch["index"], batch["epoch"]
        height, width = batch["image"].shape[-3:-1]
        label = partial(self._label, (height, width), key)
        batch["label"] = jax.vmap(label)(*draws, batch["label"])
        for number, step in enumerate(self.steps):
            keys = jax.vmap(partial(self._key, number, key))(*draws)
            before, batch = batch["image"].dtype, step.applied(keys, batch)
            if batch["image"].dtype != before:
                raise UserError(
                    f"augmentation '{step.name()}' returns images of the type "
                    f"{batch['image'].dtype} for images of the type {before}: return "
                    "the given type."
                )
        return batch

    def parts(self) -> list[Part]:
        """Returns a `core.fit.Part` for each augmentation.

        `core.fit` checks that the augmentations can be applied to the data of the run.
        """
        return [step.part(labels.find(self.label_kind)) for step in self.steps]

    def _key(
        self,
        number: int,
        key: Key[Array, ""],
        index: Int32[Array, ""],
        epoch: Int32[Array, ""],
    ) -> Key[Array, ""]:
        """Returns the key of an augmentation for an example in an epoch.

        An augmentation that is in the list a second time draws other numbers.

        Args:
          number: the position of the augmentation in the list.
          key: the run's key.
          index, epoch: the index of the example, and the number of the epoch.
        """
        step = self.steps[number]
        before = sum(type(each) is type(step) for each in self.steps[:number])
        key = jax.random.fold_in(key, -before) if before else key
        return step.drawn(key, index, epoch)

    def _label(
        self,
        size: tuple[int, int],
        key: Key[Array, ""],
        index: Int32[Array, ""],
        epoch: Int32[Array, ""],
        label: Array,
    ) -> Array:
        moves = [
            move
            for number, step in enumerate(self.steps)
            for move in step.moves(self._key(number, key, index, epoch), size)
        ]
        return labels.find(self.label_kind).moved(label, moves, size)


def make(texts: Sequence[str], label_kind: str) -> Augment:
    """Returns the augmentations of a resolved config.

    Args:
      texts: the config key `data.augmentations`.
      label_kind: the name of the data set's label kind; see `labels`.

    Raises:
      UserError: if there are two augmentations that mix examples.
    """
    steps = augmentations.made(texts)
    mixing = [step.name() for step in steps if step.mixes]
    if len(mixing) > 1:
        raise UserError(
            f"config.data.augmentations has {' and '.join(mixing)}, but an example can "
            "be mixed only once: take mixup_or_cutmix in place of both."
        )
    return Augment(label_kind, steps)


def normalize(
    images: Images,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "batch *space channels"]:
    """Returns (images / 255 - mean) / std for each channel, computed in float32.

    Args:
      images: gray levels, uint8 or float32; see `bands`.
      mean, std: the mean and the standard deviation of each channel, for pixel values
        scaled to 0..1.
      dtype: the type of the result.
    """
    scaled = images.astype(jnp.float32) / 255 - jnp.asarray(mean, jnp.float32)
    return (scaled / jnp.asarray(std, jnp.float32)).astype(dtype)
