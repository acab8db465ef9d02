"""Hand-made filters: edges, Laplacian, Gaussian.

Computer vision began with such filters before convolutional networks learned theirs,
and learned first layers still resemble them. As everywhere in the package, filters are
applied as cross-correlation (not rotated by 180 degrees). A filter ending in
"_vertical" responds to vertical edges, positive where the left side is brighter. A
filter ending in "_horizontal" responds to horizontal edges, positive where the upper
side is brighter.
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

# Padding modes beyond the border, as modes of `numpy.pad`. In addition, "VALID" uses
# only windows inside the image.
BORDERS = {
    "SAME": "constant",  # zeros
    "edge": "edge",  # aaa|abcd|ddd, SciPy's "nearest"
    "reflect": "reflect",  # dcb|abcd|cba, SciPy's "mirror"
    "symmetric": "symmetric",  # cba|abcd|dcb, SciPy's "reflect"
}


def gaussian(size: int, sigma: float) -> np.ndarray:
    """Returns a Gaussian filter of `size` by `size` pixels with sum 1.

        exp(-(i^2 + j^2) / (2 sigma^2)), i and j from the center

    Raises:
      UserError: the size is even and so has no center, or sigma is not positive.
    """
    if size < 1 or size % 2 == 0:
        raise UserError(f"size={size} of a Gaussian filter must be odd.")
    if not sigma > 0:
        raise UserError(f"sigma={sigma} of a Gaussian filter must be above 0.")
    offsets = np.arange(size) - size // 2
    bell = np.exp(-(offsets**2) / (2 * sigma**2))
    bell /= bell.sum()
    return np.outer(bell, bell)


def _edges(name: str, *weights: int) -> dict[str, np.ndarray]:
    """Returns a vertical and a horizontal edge filter, by name.

    Each filter smooths along the edge with `weights`, and takes the difference across
    the edge.
    """
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
    """Applies a filter to each channel of one or more images.

    The result is computed in float32 and returned in the images' dtype, or in float32
    for integer images. `padding` is "VALID" or one of `BORDERS`, which keep the size.

    Raises:
      UserError: the filter or padding is unknown, or the filter has no center or does
        not fit the images.
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
    """Returns the edge strength in any direction: sqrt(vertical^2 + horizontal^2).

    The dtype of the result is as in `apply_filter`. Where both responses are zero, the
    derivative is defined as zero.

    Args:
      name: the name of a pair of filters: "sobel" for "sobel_vertical" and
        "sobel_horizontal" of `FILTERS`.

    Raises:
      UserError: the pair is unknown, or an error of `apply_filter`.
    """
    pairs = sorted(key[: -len("_vertical")] for key in FILTERS if "_vertical" in key)
    if name not in pairs:
        raise unknown("pair of edge filters", name, pairs)
    # In float32, because squares soon overflow float16.
    vertical, horizontal = (
        apply_filter(images.astype(jnp.float32), f"{name}_{direction}", padding)
        for direction in ("vertical", "horizontal")
    )
    energy = vertical**2 + horizontal**2
    positive = energy > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, energy, 1)), 0)
    return root.astype(inexact_dtype(images))


class FilterBank(Described, nn.Module):
    """Fixed filters as a layer, or as the initial values of a learned layer.

    Every filter is applied to every channel (a depthwise convolution): F filters make
    c * F maps of c channels. The maps of the first channel come first. If filters
    differ in size, each is centered in a window of the largest size.

    A fixed bank has no variables: the optimizer, checkpoints and parameter counts do
    not contain it. A learned bank has the parameter "kernel" (height, width, 1, c * F),
    float32, like a `Conv` with c groups, and no bias.

    Attributes:
      filters: the filters, each as a name of `FILTERS` or as the rows of its weights.
      padding: as in `apply_filter`.
      learned: train the filters; if false, they are constants.
      dtype: dtype of the computation and the output; None is float32.

    Raises:
      UserError: there is no filter, `filters` is one name and not a sequence, or an
        error of `apply_filter`.
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
    """Returns the rows of a filter, which may be given by name."""
    if isinstance(kernel, str):
        if kernel not in FILTERS:
            raise unknown("filter", kernel, FILTERS)
        return FILTERS[kernel]
    rows = np.asarray(kernel, float)
    if rows.ndim != 2 or not all(n % 2 for n in rows.shape):
        raise UserError(
            f"a filter of shape {rows.shape} is not possible: a filter needs two "
            "dimensions of odd size."
        )
    return rows


def _bank(filters: Sequence[Filter]) -> np.ndarray:
    """Returns the filters as one array (height, width, filter).

    Smaller filters are padded with zeros to the size of the largest filter.
    """
    if isinstance(filters, str):
        raise UserError(f"filters='{filters}' must be a tuple: write ('{filters}',).")
    kernels = [_rows(kernel) for kernel in filters]
    if not kernels:
        raise UserError("a filter bank needs at least one filter.")
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
    """Returns the kernel of a depthwise convolution with the filters."""
    return jnp.asarray(np.tile(_bank(filters)[:, :, None], channels), jnp.float32)


def _known(padding: str) -> None:
    """Raises `UserError` for a padding that `apply_filter` does not know."""
    if padding != "VALID" and padding not in BORDERS:
        raise unknown("padding", padding, ("VALID", *BORDERS))


def _apply(x, kernel, padding):
    """Applies the depthwise `kernel` to `x`."""
    _known(padding)
    height, width = kernel.shape[:2]
    if padding != "VALID":
        pairs = ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0))
        x = jnp.pad(x, pairs, mode=BORDERS[padding])
    if height > x.shape[1] or width > x.shape[2]:
        raise UserError(
            f"a filter of {height}x{width} does not fit into an image of "
            f"{x.shape[1]}x{x.shape[2]} without padding: use padding='SAME' or a "
            "smaller filter."
        )
    ones, none = (1, 1), ((0, 0), (0, 0))
    return convolve(
        x, kernel, strides=ones, padding=none, dilation=ones, groups=x.shape[-1]
    )
