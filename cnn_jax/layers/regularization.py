"""Layers that leave something out at random while training.

Their random numbers come from the stream "dropout". They are nothing in evaluation.
"""

import flax.linen as nn
from jaxtyping import Array, Float


class Dropout(nn.Dropout):
    """Each value is zero with probability `rate`, and scaled by 1 / (1 - rate) else
    (Srivastava et al. 2014); linen's."""


class SpatialDropout(nn.Module):
    """Whole maps are zero with probability `rate` (Tompson et al. 2015).

    Neighbouring pixels carry the same information, so dropping single ones removes
    little of it.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *space channels"]:
        space = tuple(range(1, x.ndim - 1))
        drop = nn.Dropout(self.rate, space, deterministic=self.deterministic)
        return drop(x)


class StochasticDepth(nn.Module):
    """A residual branch is left out for an example with probability `rate`.

    Huang et al. 2016, "Deep Networks with Stochastic Depth"; branches that stay are
    scaled by 1 / (1 - rate), so that evaluation needs no scaling.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(
        self, branch: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *space channels"]:
        others = tuple(range(1, branch.ndim))
        drop = nn.Dropout(self.rate, others, deterministic=self.deterministic)
        return drop(branch)
