"""Test-time augmentation: mean outputs over several views of each image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from cnn_jax.core.errors import unknown
from cnn_jax.core.fit import Need, Part

Images = Shaped[Array, "batch *depth height width channels"]


class View(NamedTuple):
    """A view of each image of a batch.

    Attributes:
      weight: the weight of the view's outputs in the mean.
      images: the batch of views.
      mirrored: whether left and right are exchanged.
    """

    weight: float
    images: Images
    mirrored: bool = False


Views = list[View]  # the sum of the weights is 1


def flipped(images: Images) -> Views:
    """Returns the images and their mirror images, with equal weights."""
    return [View(1 / 2, images), View(1 / 2, images[..., ::-1, :], mirrored=True)]


def shifted(images: Images) -> Views:
    """Returns the images, and the images moved by one pixel along both diagonals.

    The images themselves have half of the weight (Jordan 2024, "94% on CIFAR-10 in 3.29
    seconds on a single GPU", section 3.5). Edges are mirrored.
    """
    height, width = images.shape[-3:-1]
    edges = [(0, 0)] * (images.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    padded = jnp.pad(images, edges, mode="reflect")
    first, last = padded[..., :height, :width, :], padded[..., 2:, 2:, :]
    return [View(1 / 2, images), View(1 / 4, first), View(1 / 4, last)]


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
        resized = jax.image.resize(crop, full, "linear").astype(crop.dtype)
        views.append(View(1 / 5, resized))
    return views


class Kind(NamedTuple):
    """A kind of views.

    Attributes:
      views: the function that returns the views of images.
      needs: the requirements on the data and the model; see `core.fit`.
    """

    views: Callable[[Images], Views]
    needs: tuple[Need, ...]


# The kinds of output with a value for each position of the image.
DENSE = {"maps", "picture"}

OFF = "leave out config.eval.views"
MIRRORS = Need("mirrorable", {True}, "mirrors images", OFF)
LOGITS = Need("output kind", {"logits"}, "averages logits", OFF)
ALIGNED = Need("output kind", {"logits"} | DENSE, "averages logits or pictures", OFF)
KINDS: Mapping[str, Kind] = {
    "flip": Kind(flipped, (ALIGNED, MIRRORS)),
    "shift": Kind(shifted, (LOGITS,)),
    "crop": Kind(cropped, (LOGITS,)),
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
        needs += KINDS[name].needs
    return Part(f"config.eval.views={','.join(names)}", takes=tuple(needs))


def averaged(
    apply: Callable[[Images], Any], names: Sequence[str], output_kind: str = "logits"
) -> Callable[[Images], Any]:
    """Returns a function of images, averaged over views of the images.

    All views are computed in one batch. The views of several kinds are combined: "flip"
    and "shift" give six views. Outputs with positions, such as the logits of each
    pixel, are mirrored back before the mean.

    Args:
      apply: the function from a batch of images to outputs with a row for each image.
      names: the kinds of views, names in `KINDS`; without names, the result is `apply`.
      output_kind: the kind of the outputs; see `models.outputs`.
    """
    if not names:
        return apply

    def mean(images: Images) -> Any:
        views = [View(1.0, images)]
        for name in names:
            views = [
                View(old.weight * new.weight, new.images, old.mirrored ^ new.mirrored)
                for old in views
                for new in KINDS[name].views(old.images)
            ]
        outputs = apply(jnp.concatenate([view.images for view in views]))

        def combined(rows: Array) -> Array:
            parts = jnp.split(rows, len(views))
            if output_kind in DENSE:
                parts = [
                    part[..., ::-1, :] if view.mirrored else part
                    for view, part in zip(views, parts, strict=True)
                ]
            weights = jnp.array([view.weight for view in views])
            return jnp.tensordot(weights, jnp.stack(parts), axes=1).astype(rows.dtype)

        return jax.tree.map(combined, outputs)

    return mean
