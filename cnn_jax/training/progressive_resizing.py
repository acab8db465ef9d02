"""Progressive resizing: smaller training images in parts of a run."""

from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Need, Part
from cnn_jax.core.ranges import Side
from cnn_jax.training import freezing

Images = UInt8[Array, "batch *space channels"] | Float[Array, "batch *space channels"]
Resized = UInt8[Array, "batch *out channels"] | Float[Array, "batch *out channels"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Resizing:
    """The sizes of the training images of a run.

    Attributes:
      starts: the first step of each part of the run, counted from 0.
      shapes: the shape of an image in each part.
    """

    starts: tuple[int, ...] = ()
    shapes: tuple[Shape, ...] = ()

    def shape(self, step: int) -> Shape | None:
        """Returns the shape of the images after `step` steps; None: not resized."""
        begun = [
            s
            for s, start in zip(self.shapes, self.starts, strict=True)
            if start <= step
        ]
        return begun[-1] if begun else None

    def of(self, step: int) -> Callable[[Images], Resized]:
        """Returns the function that resizes a batch of images after `step` steps."""
        shape = self.shape(step)
        return lambda images: images if shape is None else resized(images, shape)

    def __str__(self) -> str:
        return ", ".join(
            f"{'x'.join(map(str, shape[-3:-1]))} from step {start + 1:,}"
            for shape, start in zip(self.shapes, self.starts, strict=True)
        )


FULL_SIZE = Resizing()


def make(
    steps: int, image_shape: Shape, *, image_sizes: tuple[Side, ...] = ()
) -> Resizing:
    """Returns the sizes of the training images.

    Args:
      steps: the number of steps of the run.
      image_shape: the shape of an image, clip or volume of the data.
      image_sizes: the shorter sides of the training images in successive parts of the
        run, which have equal lengths, such as `128,160,192`. Images are resized after
        their augmentation; evaluation uses images of `data.image_size`. Without sizes,
        training does the same.

    Raises:
      UserError: if the run has fewer steps than sizes.
    """
    if len(image_sizes) > steps:
        raise UserError(
            f"config.train.image_sizes has {len(image_sizes)} sizes, but the run has "
            f"only {steps} steps: set fewer sizes."
        )
    *depth, height, width, channels = image_shape
    shorter = min(height, width)
    return Resizing(
        tuple(i * steps // len(image_sizes) for i in range(len(image_sizes))),
        tuple(
            (
                *depth,
                round(height * size / shorter),
                round(width * size / shorter),
                channels,
            )
            for size in image_sizes
        ),
    )


def resized(images: Images, shape: Shape) -> Resized:
    """Returns images that are resized to `shape`; uint8 images are rounded.

    The interpolation is bilinear. If an image becomes smaller, each pixel is a mean
    over the pixels that it covers, as in Pillow.
    """
    full = (images.shape[0], *shape)
    floats = jax.image.resize(
        images.astype(jnp.float32), full, "linear", antialias=True
    )
    if images.dtype != jnp.uint8:
        return floats.astype(images.dtype)
    return jnp.clip(jnp.round(floats), 0, 255).astype(jnp.uint8)


def part(image_sizes: tuple[int, ...]) -> Part:
    """Returns the requirements of the sizes on the data; see `core.fit`."""
    words = "resizes images and leaves their labels as they are"
    kinds = {"class", "multi_label", "values"}
    needs = (Need("label kind", kinds, words, "leave it out"),) if image_sizes else ()
    return Part(
        f"config.train.image_sizes={','.join(map(str, image_sizes))}", takes=needs
    )


def check(resizing: Resizing, model: nn.Module, image_shape: Shape) -> None:
    """Raises UserError if the network does not take images of each size.

    Its parameters must not depend on the size of the images.

    Args:
      resizing: the sizes of the training images.
      model: the network.
      image_shape: the shape of an image of the data.
    """
    if not resizing.shapes:
        return
    expected = freezing.shapes_of(model, image_shape)
    for shape in dict.fromkeys(resizing.shapes):
        size = min(shape[-3:-1])
        try:
            found = freezing.shapes_of(model, shape)
        except UserError as error:
            raise UserError(
                f"config.train.image_sizes: the size {size} is not possible. {error}"
            ) from error
        for path, wanted in expected.items():
            if found.get(path) != wanted:
                raise UserError(
                    "config.train.image_sizes: the shape of the parameter "
                    f"{'/'.join(path)} depends on the size of the images. Take a "
                    "network with global pooling (config.model.head=gap), or leave out "
                    "the sizes."
                )
