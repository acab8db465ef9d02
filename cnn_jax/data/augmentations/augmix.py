"""AugMix: a mixture of an image with chains of random operations."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from cnn_jax.core.errors import unknown
from cnn_jax.core.ranges import Positive, Range
from cnn_jax.data.augmentations.augmentation import Augmentation, Image, size_of
from cnn_jax.data.augmentations.operations import NUMBERS, Change
from cnn_jax.data.augmentations.policies import INTERPOLATIONS, RAND_AUGMENT, Space
from cnn_jax.data.labels.kind import LabelKind

LEVELS = 9  # the largest magnitude
SPACE = Space(operations=RAND_AUGMENT.operations[1:], translation=1 / 3, bits=(4, 0))
OVERLAPPING = ("brightness", "color", "contrast", "sharpness")
PARTIAL = dataclasses.replace(
    SPACE,
    operations=tuple(name for name in SPACE.operations if name not in OVERLAPPING),
)


@dataclass(frozen=True, kw_only=True)
class AugMix(Augmentation):
    """AugMix (Hendrycks et al. 2020), with the operations of torchvision.

    The image is mixed with `width` chains of random operations. The mixed image has no
    label with positions: the augmentation takes labels of whole images only. The
    consistency loss of the paper is not a part of the augmentation. Unlike
    torchvision, the mixture is rounded and not cut off.

    Attributes:
      width: the number of chains.
      depth: the number of operations of a chain; 0: random, from 1 to 3.
      severity: the largest magnitude of operations, from 1 to 10.
      alpha: the parameter of the Dirichlet and Beta distributions of the weights.
      all_operations: whether brightness, color, contrast and sharpness are drawn too.
        They overlap with the corruptions of ImageNet-C, and the paper leaves them out.
      interpolation: the resampling of shears and rotations, "nearest" or "bilinear".
    """

    width: Annotated[int, Range(least=1, most=10)] = 3
    depth: Annotated[int, Range(least=0, most=10)] = 0
    severity: Annotated[int, Range(least=1, most=LEVELS + 1)] = 3
    alpha: Positive = 1.0
    all_operations: bool = True
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, INTERPOLATIONS)

    def image(self, key: Key[Array, ""], image: Image) -> Image:
        chain, mixing = jax.random.split(key)
        changes = self.changes(chain, size_of(image))
        nearest = self.interpolation == "nearest"

        def change(image: Image, change: Change) -> tuple[Image, None]:
            return change.applied(image, nearest=nearest), None

        def mix(
            mixed: Float[Array, "*shape"], chain: tuple[Float[Array, ""], Change]
        ) -> tuple[Float[Array, "*shape"], None]:
            weight, changes = chain
            changed, _ = jax.lax.scan(change, image, changes)
            return mixed + weight * changed, None

        original, weights = self.weights(mixing)
        mixed, _ = jax.lax.scan(mix, original * image, (weights, changes))
        return jnp.clip(mixed + 0.5, 0, 255).astype(jnp.uint8)

    def weights(
        self, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, "width"]]:
        """Returns the weights of the image and of the chains; their sum is 1."""
        # Both distributions are normalized gamma variables. For alpha=1, these are
        # exponential variables, which compile in a fraction of the time.
        shape = (2 + self.width,)
        if self.alpha == 1:
            drawn = jnp.log(jax.random.exponential(key, shape))
        else:
            drawn = jax.random.loggamma(key, self.alpha, shape)
        original, mixed = jax.nn.softmax(drawn[:2])
        return original, mixed * jax.nn.softmax(drawn[2:])

    def changes(self, key: Key[Array, ""], size: tuple[int, int]) -> Change:
        """Returns the random operations of each chain, with axes [width, depth].

        Args:
          key: the key of the chains.
          size: (height, width) of the image.
        """
        most = self.depth or 3
        draws = jax.random.uniform(key, (self.width, most, 4))
        levels = jnp.floor(draws[..., 2] * self.severity) / LEVELS
        space = SPACE if self.all_operations else PARTIAL
        drawn = jax.vmap(jax.vmap(space.change, (0, 0, None)), (0, 0, None))
        changes = drawn(draws[..., :2], levels, size)
        if self.depth:
            return changes
        depths = 1 + jnp.floor(most * draws[:, :1, 3])
        kept = jnp.arange(most) < depths
        identity = NUMBERS["identity"]
        return changes._replace(operation=jnp.where(kept, changes.operation, identity))

    def takes(self, labels: LabelKind) -> bool:
        return labels.movable and labels.recolorable and not labels.positioned
