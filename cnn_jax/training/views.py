"""Test-time augmentation: mean outputs over several views of each image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from cnn_jax.core.errors import unknown
from cnn_jax.core.fit import Need, Part

Images = Shaped[Array, "batch *depth height width channels"]
Views = list[tuple[float, Images]]  # with weights, whose sum is 1


def flipped(images: Images) -> Views:
    """Returns the images and their mirror images, with equal weights."""
    return [(1 / 2, images), (1 / 2, images[..., ::-1, :])]


def shifted(images: Images) -> Views:
    """Returns the images, and the images moved by one pixel along both diagonals.

    The images themselves have half of the weight (Jordan 2024, "94% on CIFAR-10 in 3.29
    seconds on a single GPU", section 3.5). Edges are mirrored.
    """
    height, width = images.shape[-3:-1]
    edges = [(0, 0)] * (images.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    padded = jnp.pad(images, edges, mode="reflect")
    first, last = padded[..., :height, :width, :], padded[..., 2:, 2:, :]
    return [(1 / 2, images), (1 / 4, first), (1 / 4, last)]


def cropped(images: Images) -> Views:
    """Returns the four corners and the center of the images, with equal weights.

    Each crop has 7/8 of the height and the width (Krizhevsky et al. 2012, section 4.1:
    crops of 224 pixels from images of 256), and is resized to the size of the images.
    """
    *before, height, width, channels = images.shape
    tall, wide = -(-7 * height // 8), -(-7 * width // 8)
    down, right = height - tall, width - wide
    corners = [(top, left) for top in (0, down) for left in (0, right)]
    views = []
    for top, left in [*corners, (down // 2, right // 2)]:
        crop = images[..., top : top + tall, left : left + wide, :]
        full = (*before, height, width, channels)
        views.append((1 / 5, jax.image.resize(crop, full, "linear").astype(crop.dtype)))
    return views


class Kind(NamedTuple):
    """A kind of views.

    Attributes:
      views: the function that returns the views of images.
      needs: the requirements on the data; see `core.fit`.
    """

    views: Callable[[Images], Views]
    needs: tuple[Need, ...] = ()


OFF = "leave out config.eval.views"
MIRRORS = Need("mirrorable", {True}, "mirrors images", OFF)
KINDS: Mapping[str, Kind] = {
    "flip": Kind(flipped, (MIRRORS,)),
    "shift": Kind(shifted),
    "crop": Kind(cropped),
}


def part(names: Sequence[str]) -> Part:
    """Returns the requirements of the views on the data and the model; see `core.fit`.

    Args:
      names: the config key `eval.views`.

    Raises:
      UserError: if a name is unknown.
    """
    needs: list[Need] = []
    for name in names:
        if name not in KINDS:
            raise unknown("config.eval.views", name, KINDS)
        needs += [Need("output kind", {"logits"}, "averages logits", OFF)]
        needs += KINDS[name].needs
    return Part(f"config.eval.views={','.join(names)}", takes=tuple(needs))


def averaged(
    apply: Callable[[Images], Any], names: Sequence[str]
) -> Callable[[Images], Any]:
    """Returns a function of images, averaged over views of the images.

    All views are computed in one batch. The views of several kinds are combined: "flip"
    and "shift" give six views.

    Args:
      apply: the function from a batch of images to outputs with a row for each image.
      names: the kinds of views, names in `KINDS`; without names, the result is `apply`.
    """
    if not names:
        return apply

    def mean(images: Images) -> Any:
        views: Views = [(1.0, images)]
        for name in names:
            views = [(w * v, x) for w, old in views for v, x in KINDS[name].views(old)]
        weights = jnp.array([weight for weight, _ in views])
        outputs = apply(jnp.concatenate([view for _, view in views]))

        def combined(rows: Array) -> Array:
            each = rows.reshape(len(views), -1, *rows.shape[1:])
            return jnp.tensordot(weights, each, axes=1).astype(rows.dtype)

        return jax.tree.map(combined, outputs)

    return mean
