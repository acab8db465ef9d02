"""A convolution and its two gradients by `lax.conv_general_dilated`, on any backend."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}
RANKS = tuple(LAYOUTS)


def output_size(
    size: Sequence[int], window: Sequence[int], strides, padding, dilation
) -> Sizes:
    """Returns the spatial size of a convolution's output."""
    return tuple(
        (n + before + after - d * (f - 1) - 1) // s + 1
        for n, f, s, (before, after), d in zip(
            size, window, strides, padding, dilation, strict=True
        )
    )


def convolution(x, kernel, *, strides, padding, dilation, groups):
    """Returns the convolution; see `kernels.convolution`."""
    x, padding = without_negative(x, padding)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[x.ndim - 2],
        feature_group_count=groups,
    )


def without_negative(x: Array, padding: Pairs) -> tuple[Array, Pairs]:
    """Returns `x` cropped by the negative padding, and the padding still to be applied.

    With negative padding on one side and positive padding on the other, XLA's
    convolution on the CPU reads memory beyond the image.
    """
    if min(map(min, padding)) >= 0:
        return x, padding
    pairs = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), pairs), ((0, 0),) * len(padding)


def input_gradient(gradient, kernel, *, size, **params):
    """Returns the input gradient; see `kernels.convolution`."""
    # JAX's gradient turns padding as wide as a window into negative padding
    # (`without_negative`). So excess padding is made a part of the input, and cut off.
    reach = [
        d * (f - 1) for f, d in zip(kernel.shape[:-2], params["dilation"], strict=True)
    ]
    beyond = [
        tuple(max(0, side - r) for side in pair)
        for pair, r in zip(params["padding"], reach, strict=True)
    ]
    params["padding"] = tuple(
        tuple(min(side, r) for side in pair)
        for pair, r in zip(params["padding"], reach, strict=True)
    )
    padded = [n + sum(pair) for n, pair in zip(size, beyond, strict=True)]
    channels = kernel.shape[-2] * params["groups"]
    x = jax.ShapeDtypeStruct((len(gradient), *padded, channels), gradient.dtype)
    transposed = jax.linear_transpose(lambda x: convolution(x, kernel, **params), x)
    (x,) = transposed(gradient)
    kept = [
        slice(before, before + n) for n, (before, _) in zip(size, beyond, strict=True)
    ]
    return x[:, *kept] if any(map(any, beyond)) else x


def filter_gradient(x, gradient, *, window, **params):
    """Returns the kernel's gradient; see `kernels.convolution`."""
    shape = (*window, x.shape[-1] // params["groups"], gradient.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, x.dtype)
    transposed = jax.linear_transpose(lambda w: convolution(x, w, **params), kernel)
    return transposed(gradient)[0]
