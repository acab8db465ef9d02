"""Maps in another size."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from cnn_jax.layers import formulas
from cnn_jax.layers.described import UNCOUNTED, Described, Shape

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out channels"]


# A call of its own, by whose name `analysis.receptive_field` knows what it does.
@partial(jax.jit, static_argnames="size")
def resize_bilinear(x: Maps, size: tuple[int, ...]) -> Out:
    """Bilinear (over three dimensions trilinear) interpolation to `size` in space.

    Output i of n lies at (i + 1/2) m / n - 1/2 among the m values of the input, between
    two of them, or beyond the last one, which it then equals: half-pixel centers, as
    `align_corners=False` in PyTorch. Where maps shrink, nothing is averaged.
    """
    shape = (x.shape[0], *size, x.shape[-1])
    with jax.named_scope(UNCOUNTED):
        return jax.image.resize(x, shape, "bilinear", antialias=False)


class Resize(Described, nn.Module):
    """`resize_bilinear` to a size.

    Attributes:
      size: of the output in space.
    """

    size: Sequence[int]

    def __call__(self, x: Maps) -> Out:
        return resize_bilinear(x, size=tuple(self.size))

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, after = formulas.by(in_shape[:-1]), formulas.by(out_shape[:-1])
        return "Bilinear Interpolation", f"maps of {before} to {after}"
