"""The base classes of augmentations: pure functions of a random key."""

import dataclasses
import zlib
from functools import partial

import jax
from jaxtyping import Array, Float, Key, UInt8

from cnn_jax.core.fit import Need, Part
from cnn_jax.data.labels.kind import LabelKind, Move

Image = UInt8[Array, "*depth height width channels"]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A random change of the training images, inside the compiled step.

    A subclass is a frozen dataclass. Its keyword-only fields are keys of the config
    group `data`, with their ranges in their type hints:

        @dataclass(frozen=True, kw_only=True)
        class Invert(Augmentation):
            inverted: Share = 0.5

            def image(self, key, image):
                inverted = jax.random.bernoulli(key, self.inverted)
                return jnp.where(inverted, 255 - image, image)

    The change of an example does not depend on its place in the batch, nor on its
    device or host. All frames of a clip, or slices of a volume, get the same change.
    """

    @property
    def on(self) -> bool:
        """Whether the current settings change images at all."""
        return True

    def key(self, example: Key[Array, ""]) -> Key[Array, ""]:
        """Returns the augmentation's own key, derived from the key of an example."""
        name = type(self).__qualname__.encode()
        return jax.random.fold_in(example, zlib.crc32(name))

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        """Returns the changed image, with the same shape."""
        raise NotImplementedError

    def moves(self, key: Key[Array, ""], size: tuple[int, int]) -> tuple[Move, ...]:
        """Returns the moves of pixels in an image of `size`; none by default."""
        del key, size
        return ()

    def takes(self, labels: LabelKind) -> bool:
        """Returns whether images with labels of this kind can be changed."""
        return labels.recolorable

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        """Returns the needs for data with labels of this kind; see `core.fit`."""
        if self.takes(labels):
            return ()
        _, off = self.settings()
        return (Need("label kind", (), "changes images alone", off),)

    def part(self, labels: LabelKind) -> Part:
        """Returns the augmentation as a part of a run; see `core.fit`."""
        on, _ = self.settings()
        return Part(on, takes=self.needs(labels))

    def settings(self) -> tuple[str, str]:
        """Returns what turned it on ("config.data.flip=True"), and how to undo this."""
        changed = {
            f"config.data.{field.name}": (getattr(self, field.name), field.default)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        if not changed:
            name = f"{type(self).__module__}.{type(self).__qualname__}"
            return f"augmentation {name}", "take it out of config.data.augmentations"
        on = " and ".join(f"{key}={value}" for key, (value, _) in changed.items())
        off = " and ".join(f"{key}={value}" for key, (_, value) in changed.items())
        return on, f"set {off}"


class Movement(Augmentation):
    """An augmentation that moves pixels, and labels with positions in the image."""

    def moved(
        self,
        key: Key[Array, ""],
        image: Image,
        *,
        outside: int = 0,
        factor: int = 1,
        nearest: bool = False,
    ) -> Image:
        """Returns the moved image, or another moved picture; see `labels.kind.Move`."""
        raise NotImplementedError

    def points(
        self, key: Key[Array, ""], points: Float[Array, "n 2"], *, size: tuple[int, int]
    ) -> Float[Array, "n 2"]:
        """Returns the new positions of points (row, column) of an image of `size`."""
        raise NotImplementedError

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        return self.moved(key, image)

    def moves(self, key: Key[Array, ""], size: tuple[int, int]) -> tuple[Move, ...]:
        return (Move(partial(self.moved, key), partial(self.points, key, size=size)),)

    def takes(self, labels: LabelKind) -> bool:
        return labels.movable
