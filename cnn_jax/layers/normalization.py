"""Normalization layers."""

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import canonicalize_dtype
from jax import lax
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from cnn_jax.core.errors import UserError
from cnn_jax.layers.described import Described, Shape
from cnn_jax.layers.naming import where

Maps = Float[Array, "batch *space channels"]
# Moments over space, with a size of one in each spatial dimension.
Moments = Float32[Array, "batch *ones channels"]

# The axis over which the training step maps devices, for synchronized statistics.
BATCH_AXIS = "batch"

# The variable (collection and name) whose presence freezes a `BatchNorm`.
FROZEN = ("frozen", "statistics")


class Normalization(Described):
    """A mixin that explains normalizations with a learned scale and shift."""

    kind: ClassVar[str]
    use_scale: bool
    use_bias: bool

    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        channels = in_shape[-1]
        used = {"scale": self.use_scale, "shift": self.use_bias}
        learned = [name for name, is_used in used.items() if is_used]
        words = f"{' and '.join(learned) or 'nothing'} learned for {channels} channels"
        count = len(learned)
        formula = f"{count}*{channels} = {count * channels:,}"
        return self.kind, f"{words}{self.more_words(channels)}; {formula}"

    def more_words(self, channels: int) -> str:
        """Returns words that a subclass adds to the explanation; "" by default."""
        return ""


class BatchNorm(Normalization, nn.BatchNorm):
    """Batch normalization (Ioffe and Szegedy 2015) over all dimensions but the last.

    The layer is linen's `BatchNorm` with the accurate variance and the constants of the
    CNN literature: running statistics keep 0.9 of their old value (PyTorch's momentum
    0.1), and epsilon is 1e-5. Scale, bias and statistics are float32, and the reduction
    is float32 for every `dtype` of the computation. The running variance is the biased
    variance; PyTorch keeps the unbiased variance.

    `axis_name=BATCH_AXIS` averages the statistics over all devices of a training step
    that is mapped over this axis. Initialization needs no axis.

    A layer is frozen if the variable `FROZEN` exists. It then normalizes with the
    running statistics and does not change them, as with `use_running_average=True`. The
    value of the variable is not read.
    """

    kind = "Batch Normalization"

    momentum: float = 0.9
    epsilon: float = 1e-5
    # Linen's default, mean(x^2) - mean(x)^2, has errors of several per cent if values
    # are close together and far from zero: in batches, and more so in small groups.
    use_fast_variance: bool = False

    @nn.compact
    def __call__(
        self,
        x: Array | np.ndarray,
        use_running_average: bool | None = None,
        **options: Any,
    ) -> Array:
        """Normalizes `x`; see linen's `BatchNorm`.

        Raises:
          UserError: the batch statistics would be computed from one value.
        """
        if self.has_variable(*FROZEN):
            return self._normalized_by_running_statistics(jnp.asarray(x))
        averaged = self.use_running_average or use_running_average
        if not averaged and not self.is_initializing():
            devices = lax.axis_size(self.axis_name) if self.axis_name else 1
            if devices * math.prod(x.shape[:-1]) == 1:
                raise UserError(
                    f"{where(self)}: batch normalization has only one value for each "
                    "channel, because the maps have one pixel and each device has one "
                    "example. Use a larger config.data.batch_size or larger images. On "
                    "several devices, config.model.sync_batch_norm=true also helps."
                )
        # Unwrapped, so that an interceptor sees one call of this module.
        inherited = inspect.unwrap(nn.BatchNorm.__call__)
        return inherited(self, x, use_running_average, **options)

    @nn.nowrap
    def _normalized_by_running_statistics(self, x: Array) -> Array:
        """Returns the output of linen's `BatchNorm` with `use_running_average=True`.

        The output equals linen's bit for bit. The method exists because in linen the
        argument `use_running_average` cannot override the attribute of this name.
        """
        mean: Array = self.get_variable("batch_stats", "mean")
        var: Array = self.get_variable("batch_stats", "var")
        factor, used = lax.rsqrt(var + self.epsilon), [x]
        if self.use_scale:
            used.append(self.param("scale", self.scale_init, mean.shape))
            factor *= used[-1]
        y = (x - mean) * factor
        if self.use_bias:
            used.append(self.param("bias", self.bias_init, mean.shape))
            y += used[-1]
        return y.astype(canonicalize_dtype(*used, dtype=self.dtype))


def batch_norm(
    train: bool, *, sync: bool = False, dtype: DTypeLike | None = None, **attributes
) -> Callable[..., BatchNorm]:
    """Returns a partial that makes a network's `BatchNorm` layers.

    The layers use batch statistics if `train`, computed over all devices if `sync`.
    """
    return partial(
        BatchNorm,
        use_running_average=not train,
        axis_name=BATCH_AXIS if sync else None,
        dtype=dtype,
        **attributes,
    )


class GroupNorm(Normalization, nn.GroupNorm):
    """Group normalization (Wu and He 2018) of each group of channels of each example.

    The layer is linen's `GroupNorm` with PyTorch's epsilon, 1e-5. With one group it is
    layer normalization over space and channels. With one channel for each group
    (`group_size=1`) it is instance normalization (Ulyanov et al. 2016).

    `group_size`, the number of channels of a group, can be given in place of
    `num_groups`; unlike in linen, `num_groups` need not be set to None.

    Raises:
      UserError: the channels cannot be split into such groups, or a group has only one
        value.
    """

    kind = "Group Normalization"

    epsilon: float = 1e-5
    use_fast_variance: bool = False  # as in `BatchNorm`

    def __post_init__(self):
        if self.group_size is not None:
            self.num_groups = None
        super().__post_init__()

    @nn.nowrap  # the inherited method is the one call of this module
    def __call__(
        self, x: Float[Array, "batch *space channels"], **options
    ) -> Float[Array, "batch *space channels"]:
        attribute = "num_groups" if self.group_size is None else "group_size"
        size = getattr(self, attribute)
        if size < 1 or x.shape[-1] % size:
            raise UserError(
                f"{where(self)}: {attribute}={size} must divide the number of "
                f"channels, {x.shape[-1]}."
            )
        grouped = self._grouped(x.shape[-1])
        _check_values(self, grouped * math.prod(x.shape[1:-1]))
        return super().__call__(x, **options)

    @nn.nowrap
    def more_words(self, channels: int) -> str:
        size = self._grouped(channels)
        if size == channels:
            return ", one group: layer normalization over space and channels"
        return f", {channels // size} groups of {size}"

    @nn.nowrap
    def _grouped(self, channels: int) -> int:
        """Returns the number of channels of a group."""
        if self.num_groups is not None:
            return channels // self.num_groups
        assert self.group_size is not None  # one of the two is set
        return self.group_size


def _check_values(module: nn.Module, count: int) -> None:
    """Raises `UserError` if a normalization has only one value to average.

    The mean would equal this value, so the result would always be zero.

    Args:
      count: the number of values.
    """
    if count == 1:
        raise UserError(
            f"{where(module)}: the normalization of one value is always zero. Use "
            "larger images, or another normalization."
        )


def channel_moments(x: Maps, epsilon: float = 1e-5) -> tuple[Moments, Moments]:
    """Returns mean and standard deviation over space of each channel of each example.

    Both are float32. The standard deviation is sqrt(biased variance + epsilon).
    """
    space = tuple(range(1, x.ndim - 1))
    x = x.astype(jnp.float32)
    mean = x.mean(space, keepdims=True)
    # JAX's stub lacks `mean`.
    var = jnp.var(x, space, keepdims=True, mean=mean)  # type: ignore[call-arg]
    return mean, jnp.sqrt(var + epsilon)


class InstanceNorm(Normalization, nn.Module):
    """Instance normalization (Ulyanov et al. 2016): (x - mean) / std of each channel of
    each example, then an optional scale and bias for each channel.

    The layer computes the same values as PyTorch's `InstanceNorm2d(affine=True)`, and
    as `GroupNorm` with `group_size=1`. Training and evaluation do not differ.

    Raises:
      UserError: a map has only one pixel.
    """

    kind = "Instance Normalization"

    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        _check_values(self, math.prod(x.shape[1:-1]))
        mean, std = channel_moments(x, self.epsilon)
        factor = 1 / std
        if self.use_scale:
            factor *= self.param("scale", self.scale_init, x.shape[-1:])
        y = (x - mean) * factor
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return y.astype(self.dtype or y.dtype)


def adaptive_instance_norm(
    content: Maps,
    style: Float[Array, "batch *style_space channels"],
    epsilon: float = 1e-5,
) -> Maps:
    """Returns the content with the mean and standard deviation of the style's channels.

        std(style) (content - mean(content)) / std(content) + mean(style)

    Huang and Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive
    Instance Normalization", equation 8. Content and style may differ in size.
    """
    mean, std = channel_moments(content, epsilon)
    wanted_mean, wanted_std = channel_moments(style, epsilon)
    return ((content - mean) / std * wanted_std + wanted_mean).astype(content.dtype)


class LayerNorm(Normalization, nn.LayerNorm):
    """Layer normalization (Ba et al. 2016) over the channels of each pixel, as in
    ConvNeXt; linen's layer with PyTorch's epsilon, 1e-5, and the accurate variance."""

    kind = "Layer Normalization"

    epsilon: float = 1e-5
    use_fast_variance: bool = False


def local_response_norm(
    x: Float[Array, "batch *space channels"],
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Float[Array, "batch *space channels"]:
    """Returns each value divided by a power of the energy of neighboring channels.

        x_c / (k + alpha / size * sum of x_i^2)^beta,
        i from c - floor(size / 2) to c + floor((size - 1) / 2)

    Krizhevsky et al. 2012, section 3.3. As in Caffe and PyTorch, `alpha` is divided by
    `size`. The paper does not divide: its k = 2 and alpha = 1e-4 are k = 2 and alpha =
    5e-4 here. Sums are accumulated in float32.

    Raises:
      UserError: the size is below 1.
    """
    if size < 1:
        raise UserError(
            f"size={size} of local response normalization must be at least 1."
        )
    squares = lax.square(x.astype(jnp.float32))
    sums = lax.reduce_window(
        squares,
        0.0,
        lax.add,
        (1,) * (x.ndim - 1) + (size,),
        (1,) * x.ndim,
        ((0, 0),) * (x.ndim - 1) + ((size // 2, (size - 1) // 2),),
    )
    return (x * (k + alpha / size * sums) ** -beta).astype(x.dtype)


class LocalResponseNorm(Described, nn.Module):
    """`local_response_norm` as a module; the attributes are its arguments."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __call__(
        self, x: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch *space channels"]:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        return (
            "Local Response Normalization",
            f"over {self.size} channels; x/({self.k:g} + {self.alpha:g}/{self.size} * "
            f"sum of squares)^{self.beta:g}",
        )
