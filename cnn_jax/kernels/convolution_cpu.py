"""A convolution and its two gradients on the CPU, faster than XLA's implementations.

XLA computes convolutions on the CPU with Eigen. The CPU build of jaxlib for Linux also
contains oneDNN (https://github.com/uxlfoundation/oneDNN), the faster library that
PyTorch uses. The functions here call oneDNN in float32, if the version of jaxlib is
known to understand the call (`ONEDNN_VERSIONS`). `CNN_JAX_ONEDNN=0` in the environment
turns oneDNN off; results then differ by rounding. XLA cannot store programs that call
oneDNN: each process compiles them again, with or without a compilation cache.

A depthwise convolution without oneDNN is a sum over the taps of its kernel.
docs/measured/cpu.md has measurements, and the alternatives that were slower.
"""

import functools
import json
import math
import os
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax
from jaxtyping import Array

from cnn_jax.kernels import convolution_xla as xla
from cnn_jax.kernels.convolution_xla import RANKS, Pairs, Sizes, output_size

# XLA does not guarantee the encoding of the call, and a mistake ends the process. So a
# version is listed here only after the tests have passed with it.
ONEDNN_VERSIONS = {"0.10.2"}

warnings.filterwarnings(
    "ignore", "Error writing persistent compilation cache entry.*bad_alloc"
)

# Each tap of a kernel adds to the time of compilation.
MAX_TAPS = 128
# The gradient of a kernel is summed over maps and gradient. If these have more than
# MANY_BYTES, a few examples of about FEW_BYTES are taken at a time
# (`_examples_at_once`).
MANY_BYTES, FEW_BYTES, FEWEST_EXAMPLES = 4 * 2**20, 2**20, 4


def has_onednn() -> bool:
    """Returns whether convolutions on the CPU use oneDNN."""
    return (
        os.environ.get("CNN_JAX_ONEDNN", "1") != "0"
        and jaxlib.__version__ in ONEDNN_VERSIONS
        and (platform.system(), platform.machine()) == ("Linux", "x86_64")
        and _has_avx2()
    )


@functools.cache
def _has_avx2() -> bool:
    """Returns whether the processor has AVX2.

    oneDNN's implementations for older processors hang (see `_depthwise_by_onednn`).
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx2" in flags.split()


def onednn(
    x: Array,
    kernel: Array,
    *,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int = 1,
    kernel_axes: tuple[int, int] | None = None,
) -> Array:
    """Returns the `convolution`, computed by oneDNN.

    Args:
      kernel_axes: the kernel's axes of input channels and features; None: the last two.
    """
    x, padding = xla.without_negative(x, padding)
    rank = x.ndim - 2
    channels, features = kernel_axes or (rank, rank + 1)
    space = [axis for axis in range(rank + 2) if axis not in (channels, features)]
    window = [kernel.shape[axis] for axis in space]
    out = output_size(x.shape[1:-1], window, strides, padding, dilation)
    # XLA's message `OneDnnConvolutionConfig` in JSON, with integers as strings.
    maps = {"batch_dim": 0, "feature_dim": rank + 1, "spatial_dims": range(1, rank + 1)}
    config = {
        "dims": rank + 2,
        "input": {"dims": rank + 2, "data": maps},
        "kernel": {
            "dims": rank + 2,
            "filter": {
                "input_feature_dim": channels,
                "output_feature_dim": features,
                "spatial_dims": space,
            },
        },
        "output": {"dims": rank + 2, "data": maps},
        "window": {
            "size": window,
            "pad_left": [before for before, _ in padding],
            "pad_right": [after for _, after in padding],
            "strides": strides,
            "window_dilations": dilation,
        },
        "feature_groups": groups,
    }
    call = jax.ffi.ffi_call(
        "__onednn$convolution",
        jax.ShapeDtypeStruct((len(x), *out, kernel.shape[features]), x.dtype),
        custom_call_api_version=1,
        legacy_backend_config=json.dumps({"onednn_conv_config": _strings(config)}),
    )
    return call(x, kernel)


def _strings(value: Any) -> Any:
    """Returns oneDNN's nested settings with all integers as strings."""
    if isinstance(value, dict):
        return {key: _strings(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, int) else [str(inner) for inner in value]


def _by_onednn(a: Array, b: Array) -> bool:
    """Returns whether oneDNN can compute a convolution or gradient of these arrays."""
    return has_onednn() and a.dtype == jnp.float32 and 0 not in (*a.shape, *b.shape)


def _depthwise_by_onednn(x, kernel, strides, padding, dilation) -> bool:
    """Returns whether oneDNN has a depthwise implementation for these arguments.

    Without one, oneDNN falls back to a matrix product for each channel. The fallback
    nests parallel loops, for which XLA's threads wait forever. oneDNN's depthwise
    implementations are for images, for windows that fit into the images, for little
    padding, and for a stride or a dilation but not both. The answer is False in case of
    doubt.
    """
    window = kernel.shape[:-2]
    out = output_size(x.shape[1:-1], window, strides, padding, dilation)
    return (
        _by_onednn(x, kernel)
        and x.ndim == 4
        and min(out) > 1
        and 1 in (max(strides), max(dilation))
        and all(
            max(pair) < min(4, d * (f - 1) + 1) and d * (f - 1) < n
            for n, f, pair, d in zip(
                x.shape[1:-1], window, padding, dilation, strict=True
            )
        )
    )


def _in_taps(channels: int, features: int, groups: int, window: Sequence[int]) -> bool:
    """Returns whether to compute a convolution as a sum over the taps of its kernel.

    This is faster for depthwise convolutions, which spend most of their time on reading
    the maps: XLA's own depthwise convolution takes 40 times as long.
    """
    return groups == channels == features and math.prod(window) <= MAX_TAPS


def convolution(x, kernel, **geometry):
    """Returns the convolution; see `kernels.convolution`."""
    if geometry["groups"] == x.shape[-1] == kernel.shape[-1]:
        function = _depthwise_convolution
    else:
        function = onednn if _by_onednn(x, kernel) else xla.convolution
    return function(x, kernel, **geometry)


def _depthwise_convolution(x, kernel, *, strides, padding, dilation, groups):
    """Returns a depthwise convolution.

    The convolution is computed by oneDNN if possible, else as a sum over taps if
    `_in_taps`, else by XLA.
    """
    *window, _, features = kernel.shape
    given = {"strides": strides, "padding": padding, "dilation": dilation}
    if _depthwise_by_onednn(x, kernel, **given):
        return onednn(x, kernel, groups=groups, **given)
    if not _in_taps(x.shape[-1], features, groups, window):
        return xla.convolution(x, kernel, groups=groups, **given)
    size = output_size(x.shape[1:-1], window, **given)
    weights = kernel.reshape(-1, features).astype(_wide(x))
    taps = _taps(x, size, window, **given)
    y = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
    return y.astype(x.dtype)


def input_gradient(gradient, kernel, *, size, strides, padding, dilation, groups):
    """Returns the input gradient, computed phase by phase.

    With a stride s, every s-th input value meets the same taps of the kernel. These
    values form a phase, and their gradient is a convolution of stride 1.
    """
    *window, per_group, features = kernel.shape
    if not (
        _by_onednn(gradient, kernel)
        or _in_taps(per_group * groups, features, groups, window)
    ):
        return xla.input_gradient(
            gradient,
            kernel,
            size=size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
    kernel = kernel.reshape(*window, per_group, groups, features // groups)
    kernel = jnp.swapaxes(kernel, -3, -1)
    kernel = kernel.reshape(*window, features // groups, groups * per_group)
    dimensions = [
        _phases(*dimension)
        for dimension in zip(
            size, gradient.shape[1:-1], window, strides, padding, dilation, strict=True
        )
    ]

    def phase(parts: Sequence[_Phase]) -> Array:
        """Returns the input gradient of one phase, given its part of each dimension."""
        if not all(part.taps for part in parts):
            shape = (len(gradient), *(part.size for part in parts), kernel.shape[-1])
            return jnp.zeros(shape, gradient.dtype)
        taps = tuple(part.taps for part in parts)
        return convolution(
            gradient,
            jnp.flip(kernel[taps], range(len(parts))),
            strides=(1,) * len(parts),
            padding=tuple(part.padding for part in parts),
            dilation=tuple(part.dilation for part in parts),
            groups=groups,
        )

    def interleaved(parts: tuple[_Phase, ...], rest: Sequence[list[_Phase]]) -> Array:
        """Returns the gradients of several phases, interleaved to one array.

        Args:
          parts: the phase along each of the first dimensions.
          rest: all phases along each of the remaining dimensions.
        """
        if not rest:
            return phase(parts)
        found = [interleaved((*parts, part), rest[1:]) for part in rest[0]]
        if len(found) == 1:
            return found[0]
        axis = len(parts) + 1
        x = jnp.stack(found, axis + 1)
        return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])

    x = interleaved((), dimensions)
    return lax.slice(x, [0] * x.ndim, (len(x), *size, x.shape[-1]))


@dataclass(frozen=True)
class _Phase:
    """The convolution that gives every s-th value of the input, along one dimension.

    Attributes:
      size: the number of input values in the phase.
      taps: the slice of the kernel's taps that meet these values; None without any.
      padding: the padding of the output's gradient; negative padding crops it.
      dilation: the dilation of the convolution.
    """

    size: int
    taps: slice | None
    padding: tuple[int, int]
    dilation: int


def _phases(n: int, m: int, f: int, s: int, padding, d: int) -> list[_Phase]:
    """Returns the phases along one dimension of a convolution.

    Tap k connects output o with input i = o s + k d - before. So the inputs i = q s + p
    of phase p meet the taps k for which k d - before - p is a multiple of s. Tap k
    connects these inputs with the outputs o = q + (p + before - k d) / s.

    Args:
      n, m: the number of inputs and of outputs.
      f: the number of taps.
      s: the stride.
      padding: the padding (before, after).
      d: the dilation.
    """
    before, size = padding[0], -(-n // s)
    step = s // math.gcd(s, d)
    found = []
    for p in range(s):
        taps = [k for k in range(f) if (p + before - k * d) % s == 0]
        if not taps:
            found.append(_Phase(size, None, (0, 0), 1))
            continue
        nearest, farthest = ((p + before - k * d) // s for k in (taps[-1], taps[0]))
        found.append(
            _Phase(
                size,
                slice(taps[0], taps[-1] + 1, step),
                (-nearest, size - 1 + farthest - (m - 1)),
                step * d // s,
            )
        )
    return found


def filter_gradient(x, gradient, *, window, strides, padding, dilation, groups):
    """Returns the kernel's gradient; see `kernels.convolution`."""
    channels, features, many = x.shape[-1], gradient.shape[-1], len(x)
    given = {"strides": strides, "padding": padding, "dilation": dilation}
    if _in_taps(channels, features, groups, window):
        return _depthwise_filter_gradient(x, gradient, window, given)
    # With one example, `_swapped` would be a depthwise convolution.
    depthwise = groups == features and (groups == channels or many == 1)
    if depthwise or not _by_onednn(x, gradient):
        return xla.filter_gradient(x, gradient, window=window, groups=groups, **given)
    out = gradient.shape[1:-1]
    if groups == 1 and math.prod(window) == 1 and not any(map(any, padding)):
        (tap,) = _taps(x, out, window, **given)
        product = tap.reshape(-1, channels).T @ gradient.reshape(-1, features)
        return product.reshape(*window, channels, features)
    if len(out) == max(RANKS):
        return _plane_by_plane(x, gradient, window, groups, given)
    few = _examples_at_once(many, (x.size + gradient.size) * x.dtype.itemsize)
    if few == many:
        return _swapped(_written(x), gradient, window, groups, given)

    # Not `scan`: its slices have other shapes than the maps, so XLA would compute the
    # maps again instead of keeping those of the forward pass.
    def add(i: Array, kernel: Array) -> Array:
        part = lax.dynamic_slice_in_dim(x, i * few, few)
        part_gradient = lax.dynamic_slice_in_dim(gradient, i * few, few)
        return kernel + _swapped(part, part_gradient, window, groups, given)

    zeros = jnp.zeros((*window, channels // groups, features), x.dtype)
    return lax.fori_loop(0, many // few, add, zeros)


def _examples_at_once(many: int, size: int) -> int:
    """Returns the number of examples for one call of `_swapped`, a divisor of `many`.

    `size` is the number of bytes of the maps and gradients of all `many` examples.
    `_swapped` reads its examples once for each tap of the window. It is fastest if the
    examples fit in the processor's cache, but it needs a few examples to sum over.
    """
    if size <= MANY_BYTES:
        return many
    most = max(FEW_BYTES * many // size, FEWEST_EXAMPLES)
    divisors = [n for n in range(FEWEST_EXAMPLES, most + 1) if many % n == 0]
    return max(divisors, default=many)


def _swapped(x, gradient, window, groups, given):
    """Returns the `filter_gradient`, computed as a convolution that sums over examples.

    Examples take the role of input channels. The convolution moves the gradient over
    the maps, to as many positions as the window has taps. Its stride is the dilation of
    the original convolution, and its dilation is the original stride. Values at the end
    of the maps that no window reached are cut off.

    Args:
      given: strides, padding and dilation of the original convolution, by name.
    """
    many, *size, channels = x.shape
    around = [
        (before, (m - 1) * s + d * (f - 1) + 1 - n - before)
        for n, m, f, s, d, (before, _) in zip(
            size,
            gradient.shape[1:-1],
            window,
            given["strides"],
            given["dilation"],
            given["padding"],
            strict=True,
        )
    ]
    # Channels must come last. The channels of the maps become another spatial
    # dimension, along which the kernel has size one.
    rows = x.reshape(many, -1, groups, channels // groups)
    swapped = rows.transpose(1, 3, 2, 0)
    swapped = swapped.reshape(1, *size, channels // groups, groups * many)
    kernel = onednn(
        swapped,
        jnp.expand_dims(gradient, -2),
        strides=(*given["dilation"], 1),
        padding=(*around, (0, 0)),
        dilation=(*given["strides"], 1),
        groups=groups,
        kernel_axes=(0, gradient.ndim),
    )
    return kernel[0]


def _plane_by_plane(x, gradient, window, groups, given):
    """Returns the `filter_gradient` of a three-dimensional window, plane by plane.

    Each plane of the window is the two-dimensional window of a convolution over planes
    of the maps. The planes of the maps and of the gradient count as its examples.

    Args:
      given: strides, padding and dilation of the convolution, by name.
    """
    first = {key: values[:1] for key, values in given.items()}
    rest = {key: values[1:] for key, values in given.items()}
    planes = gradient.reshape(-1, *gradient.shape[2:])
    seen = _taps(x, gradient.shape[1:2], window[:1], **first)
    kernels = [
        filter_gradient(
            maps.reshape(-1, *maps.shape[2:]),
            planes,
            window=window[1:],
            groups=groups,
            **rest,
        )
        for maps in seen
    ]
    return jnp.stack(kernels)


def _written(x: Array) -> Array:
    """Returns `x` as an array that is written to memory.

    XLA's CPU compiler repeats cheap computations in every operation that reads their
    result. A loop that transposes reads memory in the worst order; with the repeated
    computations it takes ten times as long. XLA does not repeat computations across a
    conditional. The condition here is always true, but XLA cannot know this. (On the
    CPU, XLA ignores `lax.optimization_barrier`.)
    """
    bits = lax.bitcast_convert_type(x[(0,) * x.ndim], jnp.int32)
    return lax.cond(((bits | 1) & 1) == 1, lambda x: x, jnp.zeros_like, x)


def _depthwise_filter_gradient(x, gradient, window, given):
    """Returns the gradient of a depthwise kernel; reads the maps once for all taps.

    Args:
      given: strides, padding and dilation of the convolution, by name.
    """
    taps = _taps(x, gradient.shape[1:-1], window, **given)
    products = [tap.astype(_wide(x)) * gradient for tap in taps]
    zeros = [jnp.zeros((), _wide(x))] * len(products)

    def add(some, others):
        return [one + other for one, other in zip(some, others, strict=True)]

    # Sums each example first: one long sum would be inexact.
    sums = lax.reduce(products, zeros, add, range(1, x.ndim - 1))
    kernel = jnp.sum(jnp.stack(sums), 1).reshape(*window, 1, x.shape[-1])
    return kernel.astype(x.dtype)


def _wide(x: Array) -> np.dtype:
    """Returns the dtype for sums over `x`.

    It is float32 if `x` has half precision, else the dtype of `x`.
    """
    half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
    return np.dtype(jnp.float32) if half else x.dtype


def _taps(x, size, window, strides, padding, dilation) -> list[Array]:
    """Returns for each tap of the kernel the values that the tap is multiplied by.

    The values of a tap are maps of the output's spatial `size`. A window with fewer
    dimensions than the maps covers the first spatial dimensions.
    """
    rest = (slice(None),) * (x.ndim - 1 - len(window))
    pairs = [(0, 0, 0), *((*pair, 0) for pair in padding), *((0, 0, 0) for _ in rest)]
    x = lax.pad(x, jnp.zeros((), x.dtype), pairs)
    taps = []
    for place in np.ndindex(*window):
        starts = [i * d for i, d in zip(place, dilation, strict=True)]
        seen = [
            slice(start, start + max((m - 1) * s + 1, 0), s)
            for start, m, s in zip(starts, size, strides, strict=True)
        ]
        taps.append(x[:, *seen, *rest])
    return taps
