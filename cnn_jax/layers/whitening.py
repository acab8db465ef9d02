"""A convolution whose initial kernel whitens the patches of images."""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax.layers.convolution import Windowed
from cnn_jax.layers.matrix import patches
from cnn_jax.layers.windows import Padding, Size

Maps = Float[Array, "batch *space channels"]
Out = Float[Array, "batch *out features"]


def whitening_kernel(
    images: Maps, window: tuple[int, ...], epsilon: float
) -> Float[Array, "*window channels filters"]:
    """Returns the filters whose outputs are uncorrelated and of equal variance.

    A filter is an eigenvector of the covariance of the patches, divided by the square
    root of its eigenvalue plus `epsilon`. The filters are in the order of falling
    eigenvalues, and each filter appears twice, the second time with the opposite sign.
    So the number of filters is twice the number of values in a patch (Jordan 2024, "94%
    on CIFAR-10 in 3.29 seconds on a single GPU", section 3.2). The covariance is
    computed without subtracting the mean, because the images are normalized.

    Args:
      images: normalized images.
      window: the size of a patch along each dimension.
      epsilon: a number that keeps the filters of small eigenvalues from amplifying
        noise.
    """
    channels = images.shape[-1]
    taps = math.prod(window)
    rows = patches(images, window, padding="VALID").reshape(-1, taps * channels)
    rows = rows.astype(jnp.float32)
    highest = jax.lax.Precision.HIGHEST
    covariance = jnp.matmul(rows.T, rows, precision=highest) / len(rows)
    values, vectors = jnp.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary: its largest entry becomes positive.
    largest = jnp.take_along_axis(vectors, jnp.abs(vectors).argmax(0)[None], axis=0)
    filters = (vectors * jnp.sign(largest) / jnp.sqrt(values + epsilon))[:, ::-1]
    both = jnp.concatenate([filters, -filters], axis=1)
    return both.reshape(*window, channels, -1)


class WhiteningConv(Windowed):
    """A convolution that starts with the whitening filters of the images it sees first.

    The initial kernel is computed from the images with which the layer is initialized
    (`whitening_kernel`). A network with this layer sets `init_images`, so that a run
    initializes it with training images. The layer has 2 * height * width * channels
    filters. To keep the kernel as it is, freeze it (`optimizer.freeze`).

    Attributes:
      kernel_size, strides, padding, dilation, use_bias, dtype, bias_init: see `Conv`.
      epsilon: see `whitening_kernel`.
    """

    groups: ClassVar[int] = 1

    kernel_size: Size = 2
    strides: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    use_bias: bool = True
    epsilon: float = 5e-4
    dtype: DTypeLike | None = None
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        window = self.window

        def kernel_init(*args: Any, **options: Any) -> Array:
            del args, options  # the images decide
            return whitening_kernel(x, window, self.epsilon)

        filters = 2 * math.prod(window) * x.shape[-1]
        return self.convolution(x, filters, groups=1, kernel_init=kernel_init)
