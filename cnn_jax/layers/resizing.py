"""Interpolation of maps to another size."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from cnn_jax.layers import formulas
from cnn_jax.layers.described import UNCOUNTED, Described, Shape

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out channels"]


# A jitted function, so that `analysis.receptive_field` recognizes the call by its name.
@partial(jax.jit, static_argnames="size")
def resize_bilinear(x: Maps, size: tuple[int, ...]) -> Out:
    """Interpolates maps to a spatial `size`, bilinearly or in 3D trilinearly.

    Output i of n lies at (i + 1/2) m / n - 1/2 among the m values of the input (half-
    pixel centers, as `align_corners=False` in PyTorch). It is interpolated between the
    two nearest values. Before the first value it equals the first value, and after the
    last value the last one. Maps that shrink are not averaged.
    """
    shape = (x.shape[0], *size, x.shape[-1])
    with jax.named_scope(UNCOUNTED):
        return jax.image.resize(x, shape, "bilinear", antialias=False)


class Resize(Described, nn.Module):
    """`resize_bilinear` as a module.

    Attributes:
      size: the spatial size of the output.
    """

    size: Sequence[int]

    def __call__(self, x: Maps) -> Out:
        return resize_bilinear(x, size=tuple(self.size))

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, after = formulas.by(in_shape[:-1]), formulas.by(out_shape[:-1])
        return "Bilinear Interpolation", f"maps of {before} to {after}"
