"""A convolution and its two gradients on the CPU, where XLA's own are slow.

XLA computes convolutions on the CPU with Eigen; the CPU build of jaxlib for Linux also
holds oneDNN (https://github.com/uxlfoundation/oneDNN), which is faster, and which
PyTorch uses. It is called where this version of jaxlib is known to understand the call
(`ONEDNN_VERSIONS`), in float32. `CNN_JAX_ONEDNN=0` in the environment leaves it out;
results then differ by rounding. XLA cannot store such programs: they are compiled again
in each process, compilation cache or not.

A depthwise convolution that oneDNN does not get is a sum over the places of its kernel.
docs/measured/cpu.md has the times, and what was tried beside.
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

# XLA's encoding of the call has no promise behind it, and a mistake ends the process:
# a version is listed here once the tests have passed with it.
ONEDNN_VERSIONS = {"0.10.2"}

warnings.filterwarnings(
    "ignore", "Error writing persistent compilation cache entry.*bad_alloc"
)

# Each place of a kernel adds to the compilation's time.
MAX_TAPS = 128
# Of the maps and the gradient that a kernel's gradient is summed over: more than this
# are taken a few examples at a time, of so many bytes (`_examples_at_once`).
MANY_BYTES, FEW_BYTES, FEWEST_EXAMPLES = 4 * 2**20, 2**20, 4


def has_onednn() -> bool:
    """Whether convolutions on the CPU go to oneDNN."""
    return (
        os.environ.get("CNN_JAX_ONEDNN", "1") != "0"
        and jaxlib.__version__ in ONEDNN_VERSIONS
        and (platform.system(), platform.machine()) == ("Linux", "x86_64")
        and _has_avx2()
    )


@functools.cache
def _has_avx2() -> bool:
    """Older processors get implementations that hang (`_depthwise_by_onednn`)."""
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
    """`convolution` by oneDNN.

    Args:
      kernel_axes: where the kernel has input channels and features; None: last.
    """
    x, padding = xla.without_negative(x, padding)
    rank = x.ndim - 2
    channels, features = kernel_axes or (rank, rank + 1)
    space = [axis for axis in range(rank + 2) if axis not in (channels, features)]
    window = [kernel.shape[axis] for axis in space]
    out = output_size(x.shape[1:-1], window, strides, padding, dilation)
    # A message of XLA (`OneDnnConvolutionConfig`) in JSON, where integers are strings.
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
    if isinstance(value, dict):
        return {key: _strings(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, int) else [str(inner) for inner in value]


def _by_onednn(a: Array, b: Array) -> bool:
    return has_onednn() and a.dtype == jnp.float32 and 0 not in (*a.shape, *b.shape)


def _depthwise_by_onednn(x, kernel, strides, padding, dilation) -> bool:
    """Whether oneDNN surely has a kernel of its own for this depthwise convolution.

    What it falls back to (a matrix product per channel) starts parallel loops in a
    parallel loop, for which XLA's threads wait forever. Its own kernels are for images,
    and for windows that fit into them, with little padding and not both a stride and a
    dilation.
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
    """Whether to sum over the places of the kernel: a depthwise convolution does little
    more than to read its maps, which is what XLA is good at; its own takes 40 times as
    long."""
    return groups == channels == features and math.prod(window) <= MAX_TAPS


def convolution(x, kernel, **geometry):
    if geometry["groups"] == x.shape[-1] == kernel.shape[-1]:
        function = _depthwise_convolution
    else:
        function = onednn if _by_onednn(x, kernel) else xla.convolution
    return function(x, kernel, **geometry)


def _depthwise_convolution(x, kernel, *, strides, padding, dilation, groups):
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
    """Phase by phase: with a stride s, inputs that lie s apart see the same taps."""
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
        if not all(part.taps for part in parts):
            shape = (len(gradient), *(part.size for part in parts), kernel.shape[-1])
            return jnp.zeros(shape, gradient.dtype)
        taps = tuple(slice(*part.taps) for part in parts)
        return convolution(
            gradient,
            jnp.flip(kernel[taps], range(len(parts))),
            strides=(1,) * len(parts),
            padding=tuple(part.padding for part in parts),
            dilation=tuple(part.dilation for part in parts),
            groups=groups,
        )

    def interleaved(parts: tuple[_Phase, ...], rest: Sequence[list[_Phase]]) -> Array:
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
    """Along a dimension: the convolution that gives every s-th value of the input.

    Attributes:
      size: how many values.
      taps: (first, end, step) of the taps that they see; None: of none.
      padding: of the gradient; negative: cut off.
      dilation: distance between two of these taps.
    """

    size: int
    taps: Sizes | None
    padding: tuple[int, int]
    dilation: int


def _phases(n: int, m: int, f: int, s: int, padding, d: int) -> list[_Phase]:
    """Those of n inputs and m outputs, with f taps, stride s and dilation d.

    Tap k takes output o to input i = o s + k d - before. So inputs i = q s + p see the
    taps with k d = p + before (modulo s), tap k at output q + (p + before - k d) / s.
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
                (taps[0], taps[-1] + 1, step),
                (-nearest, size - 1 + farthest - (m - 1)),
                step * d // s,
            )
        )
    return found


def filter_gradient(x, gradient, *, window, strides, padding, dilation, groups):
    channels, features, many = x.shape[-1], gradient.shape[-1], len(x)
    given = {"strides": strides, "padding": padding, "dilation": dilation}
    if _in_taps(channels, features, groups, window):
        return _depthwise_filter_gradient(x, gradient, window, given)
    # One example would make a depthwise convolution of the one below.
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

    # Not `scan`, whose slices would be of other shapes than the maps: XLA would compute
    # them once more instead of keeping those of the forward pass.
    def add(i: Array, kernel: Array) -> Array:
        seen = (lax.dynamic_slice_in_dim(maps, i * few, few) for maps in (x, gradient))
        return kernel + _swapped(*seen, window, groups, given)

    zeros = jnp.zeros((*window, channels // groups, features), x.dtype)
    return lax.fori_loop(0, many // few, add, zeros)


def _examples_at_once(many: int, size: int) -> int:
    """How many examples `_swapped` should take, a divisor of `many`, all of which have
    `size` bytes of maps and gradients.

    It reads them all for each place of the window: as many as stay in the processor's
    cache are fastest, but a few at least, over which it sums.
    """
    if size <= MANY_BYTES:
        return many
    most = max(FEW_BYTES * many // size, FEWEST_EXAMPLES)
    divisors = [n for n in range(FEWEST_EXAMPLES, most + 1) if many % n == 0]
    return max(divisors, default=many)


def _swapped(x, gradient, window, groups, given):
    """The `filter_gradient` as a convolution in which examples are the channels.

    One is moved over the other as far as the kernel is wide; stride and dilation change
    places. Values at the end that no window reached are cut off.
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
    # Channels have to come last. The maps' own are one more dimension in space, of
    # which the kernel sees one.
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
    """The `filter_gradient` as those of the window's planes: the maps that such a plane
    sees and the planes of the gradient are so many more examples."""
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
    """`x`, as an array in memory.

    XLA's CPU compiler computes what is cheap once more for each that reads it, within
    the loop that transposes, whose order is the worst to do so: the transposition
    takes ten times as long. It does not look through a condition. This one is always
    true, which XLA does not see (it does not honor `lax.optimization_barrier` here).
    """
    bits = lax.bitcast_convert_type(x[(0,) * x.ndim], jnp.int32)
    return lax.cond(((bits | 1) & 1) == 1, lambda x: x, jnp.zeros_like, x)


def _depthwise_filter_gradient(x, gradient, window, given):
    """All taps in one walk over the maps."""
    taps = _taps(x, gradient.shape[1:-1], window, **given)
    products = [tap.astype(_wide(x)) * gradient for tap in taps]
    zeros = [jnp.zeros((), _wide(x))] * len(products)

    def add(some, others):
        return [one + other for one, other in zip(some, others, strict=True)]

    # Of each example first: so long a sum in one go would be inexact.
    sums = lax.reduce(products, zeros, add, range(1, x.ndim - 1))
    kernel = jnp.sum(jnp.stack(sums), 1).reshape(*window, 1, x.shape[-1])
    return kernel.astype(x.dtype)


def _wide(x: Array) -> np.dtype:
    """What sums over `x` are kept in: of half precision, single; else its own."""
    half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
    return np.dtype(jnp.float32) if half else x.dtype


def _taps(x, size, window, strides, padding, dilation) -> list[Array]:
    """What each place of the kernel sees: maps of the output's size.

    The window may have fewer dimensions than the maps: then it is of their first ones.
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
