"""Layers that drop values at random in training.

Kept values are scaled by 1 / (1 - rate), which keeps the mean, so evaluation needs no
scaling. In evaluation, and at a rate of zero, these layers do nothing. Their random
numbers come from the stream "dropout".
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.core.errors import UserError


class _LeaveOut(nn.Module):
    """The base class of layers that drop values.

    Attributes:
      rate: the probability that a value is dropped, at least 0 and below 1.
      deterministic: drop nothing, as in evaluation.

    Raises:
      UserError: the rate is invalid.
    """

    rate: float
    deterministic: bool

    def __post_init__(self):
        if not 0 <= self.rate < 1:
            raise UserError(
                f"{type(self).__name__}: rate={self.rate} must be at least 0 and "
                "below 1."
            )
        super().__post_init__()

    @nn.nowrap
    def _leave_out(self, x: Array, together: tuple[int, ...]) -> Array:
        """Returns `x` with dropped values.

        Values whose positions differ only along the axes `together` are either all
        dropped or all kept.
        """
        if self.deterministic or self.rate == 0:
            return x
        shape = [1 if i in together else n for i, n in enumerate(x.shape)]
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), 0)


class Dropout(_LeaveOut):
    """Sets each value to zero with probability `rate` (Srivastava et al. 2014)."""

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self._leave_out(x, ())


class SpatialDropout(_LeaveOut):
    """Sets each map to zero as a whole with probability `rate` (Tompson et al. 2015).

    Neighboring pixels carry similar information, so dropping single pixels would remove
    little information.
    """

    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *space channels"]:
        return self._leave_out(x, tuple(range(1, x.ndim - 1)))


class StochasticDepth(_LeaveOut):
    """Sets a residual branch to zero, for each example with probability `rate`.

    Huang et al. 2016, "Deep Networks with Stochastic Depth".
    """

    def __call__(
        self, branch: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *space channels"]:
        return self._leave_out(branch, tuple(range(1, branch.ndim)))
