"""Mixtures of two training images and their classes: mixup and CutMix.

An image is mixed with its neighbor in the batch: the first with the second, the third
with the fourth, and so on. The order of a batch depends on the seed and the step alone,
so the pairs do not depend on the number of devices or hosts. Both images of a pair have
the same random share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Range, Share
from cnn_jax.data.augmentations.augmentation import Augmentation, Image, of_type
from cnn_jax.data.labels.kind import LabelKind

# The parameter of the symmetric beta distribution of the shares.
Alpha = Annotated[float, Range(above=0, most=100)]
QUANTILES = 4096


class Even:
    """The even numbers."""

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number % 2 == 0

    def __str__(self) -> str:
        return "an even number"


def beta(key: Key[Array, ""], alpha: float) -> Float[Array, ""]:
    """Returns a random number from the symmetric beta distribution.

    The number is interpolated between quantiles. `jax.random.beta` needs a loop, which
    takes seconds to compile.
    """
    from scipy import special  # takes a tenth of a second to import

    table = special.betaincinv(alpha, alpha, np.linspace(0, 1, QUANTILES + 1))
    place = QUANTILES * jax.random.uniform(key)
    low = place.astype(jnp.int32)
    below, above = jnp.asarray(table, jnp.float32)[jnp.stack([low, low + 1])]
    return below + (place - low) * (above - below)


@dataclass(frozen=True, kw_only=True)
class Mixing(Augmentation):
    """The base class of augmentations that mix each example with its neighbor.

    Attributes:
      probability: the share of the pairs that are mixed.
    """

    mixes: ClassVar[bool] = True
    takes_floats: ClassVar[bool] = True

    probability: Share = 1.0

    def pair(
        self,
        key: Key[Array, ""],
        first: Image,
        second: Image,
    ) -> tuple[Image, Image, Float[Array, ""]]:
        """Returns the two mixed images, and the share of each image's own class.

        Args:
          key: the random key of the pair.
          first, second: the images.
        """
        raise NotImplementedError

    def applied(
        self, keys: Key[Array, " batch"], batch: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Returns the batch with mixed images, and with the classes of the neighbors.

        The entry "other_label" has the label of the neighbor, and "share" the share of
        the example's own label in its loss, float32 [batch].

        Args:
          keys: the keys of the examples for this augmentation.
          batch: the batch, with an even number of examples.
        """
        images = batch["image"]
        pairs = images.reshape(-1, 2, *images.shape[1:])
        # `split` and `fold_in` of a key give equal keys, so each key is split once.
        choice, drawn = jnp.moveaxis(jax.vmap(jax.random.split)(keys[::2]), 1, 0)
        first, second, share = jax.vmap(self.pair)(drawn, pairs[:, 0], pairs[:, 1])
        mixes = jax.vmap(jax.random.bernoulli, (0, None))(choice, self.probability)
        shape = (-1, *(1 for _ in images.shape[1:]))
        first = jnp.where(mixes.reshape(shape), first, pairs[:, 0])
        second = jnp.where(mixes.reshape(shape), second, pairs[:, 1])
        share = jnp.where(mixes, share, 1.0)
        return {
            **batch,
            "image": jnp.stack([first, second], axis=1).reshape(images.shape),
            "other_label": batch["label"].reshape(-1, 2)[:, ::-1].reshape(-1),
            "share": jnp.repeat(share, 2),
        }

    def takes(self, labels: LabelKind) -> bool:
        return labels.mixable

    def needs(self, labels: LabelKind) -> tuple[Need, ...]:
        return (
            *super().needs(labels),
            Need(
                "learns mixtures",
                {True},
                "mixes the classes of two images",
                self.remedy,
            ),
            Need(
                "examples per device",
                Even(),
                "mixes pairs of examples",
                "set config.data.batch_size to an even number for each device",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Mixup(Mixing):
    """Weighted means of two images (Zhang et al. 2018).

    Attributes:
      alpha: the parameter of the beta distribution of the weights (0.2 for ImageNet in
        the paper).
    """

    alpha: Alpha = 0.2

    def pair(self, key, first, second):
        share = beta(key, self.alpha)
        a, b = first.astype(jnp.float32), second.astype(jnp.float32)
        return (
            of_type(share * a + (1 - share) * b, first),
            of_type(share * b + (1 - share) * a, first),
            share,
        )


@dataclass(frozen=True, kw_only=True)
class Cutmix(Mixing):
    """Images with a box from another image (Yun et al. 2019).

    The box has the same place in both images, and a random center. All frames of a clip
    have the same box. The share of the classes is that of the pixels.

    Attributes:
      alpha: the parameter of the beta distribution of the area outside of the box,
        before the box is cut off at the edges of the image (1 in the paper).
    """

    alpha: Alpha = 1.0

    def pair(self, key, first, second):
        area, center = jax.random.split(key)
        *_, height, width, _ = first.shape
        side = jnp.sqrt(1 - beta(area, self.alpha))
        place = jax.random.uniform(center, (2,))

        def inside(size: int, middle: Array) -> Array:
            half = jnp.floor(side * size) // 2
            low = jnp.floor(middle * size) - half
            positions = jnp.arange(size)
            return (positions >= low) & (positions < low + 2 * half)

        box = inside(height, place[0])[:, None] & inside(width, place[1])
        pixels = box[..., None]
        return (
            jnp.where(pixels, second, first),
            jnp.where(pixels, first, second),
            1 - box.mean(dtype=jnp.float32),
        )


@dataclass(frozen=True, kw_only=True)
class MixupOrCutmix(Mixing):
    """Mixup or CutMix, chosen at random for each pair, as in timm.

    Attributes:
      mixup, cutmix: the parameters `alpha` of `Mixup` and `Cutmix`.
      cutmix_share: the probability of CutMix.
    """

    mixup: Alpha = 0.2
    cutmix: Alpha = 1.0
    cutmix_share: Share = 0.5

    def pair(self, key, first, second):
        choice, drawn = jax.random.split(key)
        chosen = jax.random.bernoulli(choice, self.cutmix_share)
        cut = Cutmix(alpha=self.cutmix).pair(drawn, first, second)
        mean = Mixup(alpha=self.mixup).pair(drawn, first, second)
        return tuple(jnp.where(chosen, a, b) for a, b in zip(cut, mean, strict=True))
