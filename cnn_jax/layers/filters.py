"""Filters written by hand: edges, Laplacian, Gaussian.

Before convolutional networks learned their filters, these were what vision began with,
and what first layers learn still resembles them. As everywhere in the package, a
filter is laid over the image as it is written here (cross-correlation, not turned by
180 degrees). A filter ending in "_vertical" answers to vertical edges, positive where
the left side is brighter; one ending in "_horizontal" to horizontal ones, positive
where the upper side is.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Real

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.layers import arithmetic, formulas
from cnn_jax.layers.convolution import computation_dtype, convolve
from cnn_jax.layers.described import Described, Shape
from cnn_jax.layers.pooling import inexact_dtype

# A name of `FILTERS`, or the rows of a filter.
Filter = str | Sequence[Sequence[int | float]] | np.ndarray

# What lies beyond the border, as modes of `numpy.pad`. Beside them: "VALID" has no
# border, only windows inside the image.
BORDERS = {
    "SAME": "constant",  # zeros
    "edge": "edge",  # aaa|abcd|ddd, SciPy's "nearest"
    "reflect": "reflect",  # dcb|abcd|cba, SciPy's "mirror"
    "symmetric": "symmetric",  # cba|abcd|dcb, SciPy's "reflect"
}


def gaussian(size: int, sigma: float) -> np.ndarray:
    """A Gaussian of `size` by `size` pixels with sum 1, which smooths.

        exp(-(i^2 + j^2) / (2 sigma^2)), i and j from the center

    Raises:
      UserError: an even size, which has no center, or a sigma that is not positive.
    """
    if size < 1 or size % 2 == 0:
        raise UserError(f"a Gaussian of size {size}: the size must be odd.")
    if not sigma > 0:
        raise UserError(f"a Gaussian of sigma {sigma}: sigma must be above 0.")
    offsets = np.arange(size) - size // 2
    bell = np.exp(-(offsets**2) / (2 * sigma**2))
    bell /= bell.sum()
    return np.outer(bell, bell)


def _edges(name: str, *weights: int) -> dict[str, np.ndarray]:
    """The two filters that smooth by `weights` along an edge and subtract across."""
    vertical = np.outer(weights, (1.0, 0.0, -1.0))
    return {f"{name}_vertical": vertical, f"{name}_horizontal": vertical.T}


FILTERS: dict[str, np.ndarray] = {
    # Prewitt 1970, "Object Enhancement and Extraction"; "edge" is the name under which
    # textbooks on convolutional networks introduce it.
    **_edges("edge", 1, 1, 1),
    **_edges("prewitt", 1, 1, 1),
    # Sobel and Feldman 1968, in Duda and Hart 1973, "Pattern Classification".
    **_edges("sobel", 1, 2, 1),
    # Scharr 2000, "Optimal Operators in Digital Image Processing".
    **_edges("scharr", 3, 10, 3),
    # Second derivatives, with four and with eight neighbors.
    "laplacian4": np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "laplacian8": np.array([[1.0, 1, 1], [1, -8, 1], [1, 1, 1]]),
    "gaussian": gaussian(5, 1.0),
}


def apply_filter(
    images: Real[Array, "*batch height width channels"],
    kernel: Filter,
    padding: str = "SAME",
) -> Float[Array, "*batch out_height out_width channels"]:
    """One image or any number of them through a filter, each channel by itself.

    Computed in float32 and returned in the images' dtype; for integers, which could not
    hold every answer, in float32. `padding` is "VALID" or one of `BORDERS`, which keep
    the size.

    Raises:
      UserError: an unknown filter or padding, a filter without a center, or one that
        does not fit the images.
    """
    *batch, height, width, channels = images.shape
    stack = images.reshape(-1, height, width, channels).astype(jnp.float32)
    y = _apply(stack, _depthwise([kernel], channels), padding)
    return y.reshape(*batch, *y.shape[1:]).astype(inexact_dtype(images))


def gradient_magnitude(
    images: Real[Array, "*batch height width channels"],
    name: str = "sobel",
    padding: str = "SAME",
) -> Float[Array, "*batch out_height out_width channels"]:
    """How strong an edge is, whatever its direction: sqrt(vertical^2 + horizontal^2).

    `name` is a pair of `FILTERS`, "sobel" for instance. The dtype is that of
    `apply_filter`. Where both answers are zero, the derivative is taken as zero.

    Raises:
      UserError: an unknown pair, and what `apply_filter` raises.
    """
    pairs = sorted(key[: -len("_vertical")] for key in FILTERS if "_vertical" in key)
    if name not in pairs:
        raise unknown("pair of edge filters", name, pairs)
    # In float32, for a square in float16 is soon too large.
    vertical, horizontal = (
        apply_filter(images.astype(jnp.float32), f"{name}_{direction}", padding)
        for direction in ("vertical", "horizontal")
    )
    energy = vertical**2 + horizontal**2
    positive = energy > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, energy, 1)), 0)
    return root.astype(inexact_dtype(images))


class FilterBank(Described, nn.Module):
    """Fixed filters as a layer, or as the start of a learned one.

    Every filter is applied to every channel by itself (a depthwise convolution): from
    c channels F filters make c * F maps, those of the first channel first. Smaller
    filters are centered in the size of the largest.

    A fixed bank has no variables at all: the optimizer, checkpoints and the count of
    parameters never see it. A learned one has the parameter "kernel" (height, width,
    1, c * F), float32, as a `Conv` with c groups has, and no bias.

    Attributes:
      filters: names of `FILTERS`, or rows of numbers.
      padding: as in `apply_filter`.
      learned: the filters are where training begins, instead of constants.
      dtype: of the computation and the output; None is float32.

    Raises:
      UserError: no filter at all, a name that is not in a sequence, and what
        `apply_filter` raises.
    """

    filters: Sequence[Filter]
    padding: str = "SAME"
    learned: bool = False
    dtype: DTypeLike | None = None

    def __post_init__(self):
        _bank(self.filters)
        _known(self.padding)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Real[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width features"]:
        kernel = _depthwise(self.filters, x.shape[-1])
        if self.learned:
            kernel = self.param("kernel", lambda _: kernel)
        dtype = computation_dtype(self.dtype, x)
        return _apply(x.astype(dtype), kernel.astype(dtype), self.padding)

    @nn.nowrap
    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        *window, filters = _bank(self.filters).shape
        return arithmetic.depthwise_macs(
            out_shape[:-1], window, in_shape[-1], multiplier=filters
        )

    @nn.nowrap
    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        *window, filters = _bank(self.filters).shape
        channels = in_shape[-1]
        names = [f if isinstance(f, str) else "given" for f in self.filters]
        words = f"{', '.join(names)}, each on each channel, padding {self.padding}"
        if self.learned:
            total = arithmetic.depthwise_parameters(
                window, channels, multiplier=filters, use_bias=False
            )
            words += f"; {formulas.weights((*window, channels, filters), 0, total)}"
        return f"Filters ({formulas.by(window)})", words


def _rows(kernel: Filter) -> np.ndarray:
    if isinstance(kernel, str):
        if kernel not in FILTERS:
            raise unknown("filter", kernel, FILTERS)
        return FILTERS[kernel]
    rows = np.asarray(kernel, float)
    if rows.ndim != 2 or not all(n % 2 for n in rows.shape):
        raise UserError(
            f"a filter of shape {rows.shape}: it has two dimensions of odd size, so "
            "that one of its numbers is the center."
        )
    return rows


def _bank(filters: Sequence[Filter]) -> np.ndarray:
    """The filters (height, width, filter), zeros around the smaller ones."""
    if isinstance(filters, str):
        raise UserError(f"filters='{filters}' is one name: write ('{filters}',).")
    kernels = [_rows(kernel) for kernel in filters]
    if not kernels:
        raise UserError("a bank of filters needs at least one.")
    height, width = np.max([kernel.shape for kernel in kernels], axis=0)
    padded = [
        np.pad(
            kernel,
            [
                ((size - n) // 2,) * 2
                for size, n in zip((height, width), kernel.shape, strict=True)
            ],
        )
        for kernel in kernels
    ]
    return np.stack(padded, axis=-1)


def _depthwise(filters: Sequence[Filter], channels: int) -> Float[Array, "h w 1 maps"]:
    return jnp.asarray(np.tile(_bank(filters)[:, :, None], channels), jnp.float32)


def _known(padding: str) -> None:
    if padding != "VALID" and padding not in BORDERS:
        raise unknown("padding", padding, ("VALID", *BORDERS))


def _apply(x, kernel, padding):
    """Each channel of `x` through its part of the depthwise `kernel`."""
    _known(padding)
    height, width = kernel.shape[:2]
    if padding != "VALID":
        pairs = ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0))
        x = jnp.pad(x, pairs, mode=BORDERS[padding])
    if height > x.shape[1] or width > x.shape[2]:
        raise UserError(
            f"a filter of {height}x{width} does not fit into an image of "
            f"{x.shape[1]}x{x.shape[2]}: pad it, or take a smaller one."
        )
    ones, none = (1, 1), ((0, 0), (0, 0))
    return convolve(
        x, kernel, strides=ones, padding=none, dilation=ones, groups=x.shape[-1]
    )
