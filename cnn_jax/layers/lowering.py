"""How a convolution and its two gradients are computed on a backend.

A convolution is the trilinear form

    T(x, w, g) = sum over n, o, k, c, f of  g[n, o, f] w[k, c, f] x[n, o s + k d, c]

with one of its three arguments left open: `convolution` is T(x, w, .),
`input_gradient` T(., w, g) and `filter_gradient` T(x, ., g). Each is linear in both
of its arguments, and its derivatives are the other two. So each is a primitive of its
own: gradients of any order, forward and backward, end at these three, and a lowering
that makes one of them fast does so in every gradient, under `vmap`, in `scan` and in
`cond`.

Accelerators get `lax.conv_general_dilated` and what JAX makes of it. XLA computes
convolutions on the CPU with Eigen; the CPU build of jaxlib for Linux also holds oneDNN
(https://github.com/uxlfoundation/oneDNN), which is faster, and which PyTorch uses. It
is called where this version of jaxlib is known to understand the call
(`ONEDNN_VERSIONS`), in float32. `CNN_JAX_ONEDNN=0` in the environment leaves it out;
results then differ by rounding. XLA cannot store such programs: they are compiled again
in each process, compilation cache or not.
"""

import functools
import json
import math
import os
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

# XLA's encoding of the call has no promise behind it, and a mistake ends the process:
# a version is listed here once the tests have passed with it.
ONEDNN_VERSIONS = {"0.10.2"}

warnings.filterwarnings(
    "ignore", "Error writing persistent compilation cache entry.*bad_alloc"
)

_LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}
RANKS = tuple(_LAYOUTS)

# Each place of a kernel adds to the compilation's time.
MAX_TAPS = 128


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


def convolution(
    x: Array,
    kernel: Array,
    *,
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """The convolution of (batch, *space, channels) with (*window, channels / groups,
    features): (batch, *out, features). Padding is explicit and not negative."""
    return _bind(
        convolution_p,
        x,
        kernel,
        **_geometry(strides, padding, dilation, groups),
    )


def input_gradient(
    gradient: Array,
    kernel: Array,
    *,
    size: Sequence[int],
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """The gradient with respect to the input, of `size` in space, of a `convolution`
    whose output has this gradient."""
    return _bind(
        input_gradient_p,
        gradient,
        kernel,
        size=_integers(size),
        **_geometry(strides, padding, dilation, groups),
    )


def filter_gradient(
    x: Array,
    gradient: Array,
    *,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """The gradient with respect to the kernel, of size `window` in space."""
    return _bind(
        filter_gradient_p,
        x,
        gradient,
        window=_integers(window),
        **_geometry(strides, padding, dilation, groups),
    )


_GEOMETRY = ("strides", "padding", "dilation", "groups")


def _geometry(strides, padding, dilation, groups) -> dict[str, Any]:
    return {
        "strides": _integers(strides),
        "padding": tuple(map(_integers, padding)),
        "dilation": _integers(dilation),
        "groups": int(groups),
    }


def _integers(values: Sequence[int]) -> Sizes:
    return tuple(int(value) for value in values)


# The primitives.

convolution_p = Primitive("convolution")
input_gradient_p = Primitive("convolution_input_gradient")
filter_gradient_p = Primitive("convolution_filter_gradient")


def _bind(primitive: Primitive, a: Array, b: Array, **params: Any) -> Array:
    dtype = jnp.result_type(a, b)
    return primitive.bind(jnp.asarray(a, dtype), jnp.asarray(b, dtype), **params)


@functools.lru_cache(maxsize=4096)
def _compiled(primitive: Primitive, params: tuple) -> Callable:
    return jax.jit(functools.partial(primitive.bind, **dict(params)))


def _evaluate(primitive: Primitive, *arrays: Array, **params: Any) -> Array:
    """A primitive outside of `jit`."""
    return _compiled(primitive, tuple(params.items()))(*arrays)


def output_size(
    size: Sequence[int], window: Sequence[int], strides, padding, dilation
) -> Sizes:
    """The output's size in space."""
    return tuple(
        (n + before + after - d * (f - 1) - 1) // s + 1
        for n, f, s, (before, after), d in zip(
            size, window, strides, padding, dilation, strict=True
        )
    )


def _abstract_convolution(x, kernel, *, strides, padding, dilation, groups):
    space = output_size(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    return ShapedArray((x.shape[0], *space, kernel.shape[-1]), x.dtype)


def _abstract_input_gradient(gradient, kernel, *, size, groups, **_):
    channels = kernel.shape[-2] * groups
    return ShapedArray((gradient.shape[0], *size, channels), gradient.dtype)


def _abstract_filter_gradient(x, gradient, *, window, groups, **_):
    shape = (*window, x.shape[-1] // groups, gradient.shape[-1])
    return ShapedArray(shape, x.dtype)


# Derivatives. Of the two arguments, the open one comes as its shape.


def _size(x: Any) -> Sizes:
    return x.aval.shape[1:-1]


def _window(kernel: Any) -> Sizes:
    return kernel.aval.shape[:-2]


ad.defbilinear(
    convolution_p,
    lambda g, x, w, **p: input_gradient(g, w, size=_size(x), **p),
    lambda g, x, w, **p: filter_gradient(x, g, window=_window(w), **p),
)
ad.defbilinear(
    input_gradient_p,
    lambda dx, g, w, *, size, **p: convolution(dx, w, **p),
    lambda dx, g, w, *, size, **p: filter_gradient(dx, g, window=_window(w), **p),
)
ad.defbilinear(
    filter_gradient_p,
    lambda dw, x, g, *, window, **p: input_gradient(g, dw, size=_size(x), **p),
    lambda dw, x, g, *, window, **p: convolution(x, dw, **p),
)


# Batching. A second batch dimension of maps joins the first one. Where the kernels
# differ, each gets a group of channels of its own.


def _join_batch(x: Array, axis: int) -> Array:
    x = jnp.moveaxis(x, axis, 0)
    return x.reshape(-1, *x.shape[2:])


def _as_groups(x: Array, axis: int | None, many: int) -> Array:
    """(many, ..., channels) at `axis` to (..., many * channels)."""
    if axis is None:
        x, axis = jnp.broadcast_to(x, (many, *x.shape)), 0
    x = jnp.moveaxis(x, axis, -2)
    return x.reshape(*x.shape[:-2], -1)


def _from_groups(x: Array, many: int) -> Array:
    """(..., many * channels) to (many, ..., channels)."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], many, -1), -2, 0)


def _many(arrays: Sequence[Array], axes: Sequence[int | None]) -> int:
    return next(
        array.shape[axis]
        for array, axis in zip(arrays, axes, strict=True)
        if axis is not None
    )


def _batch_maps(function: Callable, arrays, axes, **params):
    """For `convolution` and `input_gradient`: of maps and a kernel, maps."""
    (maps, kernel), (axis, kernel_axis) = arrays, axes
    many = _many(arrays, axes)
    if kernel_axis is None:
        y = function(_join_batch(maps, axis), kernel, **params)
        return y.reshape(many, -1, *y.shape[1:]), 0
    params["groups"] *= many
    y = function(
        _as_groups(maps, axis, many), _as_groups(kernel, kernel_axis, many), **params
    )
    return _from_groups(y, many), 0


def _batch_filters(arrays, axes, **params):
    many = _many(arrays, axes)
    params["groups"] *= many
    x, gradient = (
        _as_groups(array, axis, many) for array, axis in zip(arrays, axes, strict=True)
    )
    return _from_groups(filter_gradient(x, gradient, **params), many), 0


batching.primitive_batchers[convolution_p] = functools.partial(_batch_maps, convolution)
batching.primitive_batchers[input_gradient_p] = functools.partial(
    _batch_maps, input_gradient
)
batching.primitive_batchers[filter_gradient_p] = _batch_filters


# Any backend.


def xla_convolution(x, kernel, *, strides, padding, dilation, groups):
    x, padding = _without_negative(x, padding)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[x.ndim - 2],
        feature_group_count=groups,
    )


def _without_negative(x: Array, padding: Pairs) -> tuple[Array, Pairs]:
    """Negative padding done before: with some on one side and positive padding on the
    other, XLA's convolution on the CPU reads what lies behind the image."""
    if min(map(min, padding)) >= 0:
        return x, padding
    pairs = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), pairs), ((0, 0),) * len(padding)


def xla_input_gradient(gradient, kernel, *, size, **params):
    # Padding that windows can lie in as a whole would be negative in JAX's gradient
    # (`_without_negative`). Such padding belongs to the input first, and is cut off.
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
    transposed = jax.linear_transpose(lambda x: xla_convolution(x, kernel, **params), x)
    (x,) = transposed(gradient)
    kept = [
        slice(before, before + n) for n, (before, _) in zip(size, beyond, strict=True)
    ]
    return x[:, *kept] if any(map(any, beyond)) else x


def xla_filter_gradient(x, gradient, *, window, **params):
    shape = (*window, x.shape[-1] // params["groups"], gradient.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, x.dtype)
    transposed = jax.linear_transpose(lambda w: xla_convolution(x, w, **params), kernel)
    return transposed(gradient)[0]


# The CPU.


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
    x, padding = _without_negative(x, padding)
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


def _depthwise_by_onednn(x: Array, kernel: Array, strides, padding, dilation):
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


def cpu_convolution(x, kernel, **geometry):
    strides, padding, dilation, groups = map(geometry.get, _GEOMETRY)
    *window, _, features = kernel.shape
    if groups == x.shape[-1] == features:
        if _depthwise_by_onednn(x, kernel, strides, padding, dilation):
            return onednn(x, kernel, **geometry)
        if not _in_taps(x.shape[-1], features, groups, window):
            return xla_convolution(x, kernel, **geometry)
        size = output_size(x.shape[1:-1], window, strides, padding, dilation)
        taps = _taps(x, size, window, strides, padding, dilation)
        weights = kernel.reshape(-1, features).astype(_wide(x))
        y = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
        return y.astype(x.dtype)
    function = onednn if _by_onednn(x, kernel) else xla_convolution
    return function(x, kernel, **geometry)


def cpu_input_gradient(gradient, kernel, *, size, **geometry):
    """Phase by phase: with a stride s, inputs that lie s apart see the same taps."""
    *window, per_group, features = kernel.shape
    groups = geometry["groups"]
    if not (
        _by_onednn(gradient, kernel)
        or _in_taps(per_group * groups, features, groups, window)
    ):
        return xla_input_gradient(gradient, kernel, size=size, **geometry)
    strides, padding, dilation, _ = map(geometry.get, _GEOMETRY)
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
        return cpu_convolution(
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


def cpu_filter_gradient(x, gradient, *, window, **geometry):
    strides, padding, dilation, groups = map(geometry.get, _GEOMETRY)
    channels, features = x.shape[-1], gradient.shape[-1]
    if _in_taps(channels, features, groups, window):
        return _depthwise_filter_gradient(
            x, gradient, window, strides, padding, dilation
        )
    # One example would make a depthwise convolution of the one below.
    depthwise = groups == features and (groups == channels or len(x) == 1)
    if depthwise or not _by_onednn(x, gradient):
        return xla_filter_gradient(x, gradient, window=window, **geometry)
    if groups == 1 and math.prod(window) == 1 and not any(map(any, padding)):
        (tap,) = _taps(x, gradient.shape[1:-1], window, strides, padding, dilation)
        product = tap.reshape(-1, channels).T @ gradient.reshape(-1, features)
        return product.reshape(*window, channels, features)
    around = []
    for n, m, f, s, d, (before, _) in zip(
        x.shape[1:-1],
        gradient.shape[1:-1],
        window,
        strides,
        dilation,
        padding,
        strict=True,
    ):
        # Values at the end that no window reached are cut off.
        around.append((before, (m - 1) * s + d * (f - 1) + 1 - n - before))
    # One is moved over the other as far as the kernel is wide; stride and dilation
    # change places.
    many, space = len(x), x.shape[1:-1]
    if len(space) == max(RANKS):
        return _plane_by_plane(x, gradient, window, geometry)
    # Examples are what is summed over, so they are the channels here, and have to come
    # last. Channels are one more dimension in space, of which the kernel sees one.
    rows = _written(x).reshape(many, -1, groups, channels // groups)
    swapped = rows.transpose(1, 3, 2, 0)
    swapped = swapped.reshape(1, *space, channels // groups, groups * many)
    kernel = onednn(
        swapped,
        jnp.expand_dims(gradient, -2),
        strides=(*dilation, 1),
        padding=(*around, (0, 0)),
        dilation=(*strides, 1),
        groups=groups,
        kernel_axes=(0, gradient.ndim),
    )
    return kernel[0]


def _plane_by_plane(x, gradient, window, geometry):
    """The `filter_gradient` as those of the window's planes: the maps that such a plane
    sees and the planes of the gradient are so many more examples."""
    first = {key: geometry[key][:1] for key in _GEOMETRY[:-1]}
    rest = {key: geometry[key][1:] for key in _GEOMETRY[:-1]}
    planes = gradient.reshape(-1, *gradient.shape[2:])
    seen = _taps(x, gradient.shape[1:2], window[:1], **first)
    kernels = [
        cpu_filter_gradient(
            maps.reshape(-1, *maps.shape[2:]),
            planes,
            window=window[1:],
            groups=geometry["groups"],
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
    true, which XLA does not see (it does not honour `lax.optimization_barrier` here).
    """
    bits = lax.bitcast_convert_type(x[(0,) * x.ndim], jnp.int32)
    return lax.cond(((bits | 1) & 1) == 1, lambda x: x, jnp.zeros_like, x)


def _depthwise_filter_gradient(x, gradient, window, strides, padding, dilation):
    """All taps in one walk over the maps."""
    size = gradient.shape[1:-1]
    taps = _taps(x, size, window, strides, padding, dilation)
    products = [tap.astype(_wide(x)) * gradient for tap in taps]
    zeros = [jnp.zeros((), _wide(x))] * len(products)

    def add(some, others):
        return [one + other for one, other in zip(some, others, strict=True)]

    # Of each example first: so long a sum in one go would be inexact.
    sums = lax.reduce(products, zeros, add, range(1, x.ndim - 1))
    kernel = jnp.sum(jnp.stack(sums), 1).reshape(*window, 1, x.shape[-1])
    return kernel.astype(x.dtype)


def _wide(x: Array) -> np.dtype:
    """What sums over `x` are kept in."""
    return jnp.promote_types(x.dtype, jnp.float32)


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


_ABSTRACT = {
    convolution_p: _abstract_convolution,
    input_gradient_p: _abstract_input_gradient,
    filter_gradient_p: _abstract_filter_gradient,
}
# What each primitive is on any backend, and on the CPU.
XLA = {
    convolution_p: xla_convolution,
    input_gradient_p: xla_input_gradient,
    filter_gradient_p: xla_filter_gradient,
}
CPU = {
    convolution_p: cpu_convolution,
    input_gradient_p: cpu_input_gradient,
    filter_gradient_p: cpu_filter_gradient,
}
for _primitive, _abstract in _ABSTRACT.items():
    _primitive.def_abstract_eval(_abstract)
    _primitive.def_impl(functools.partial(_evaluate, _primitive))
    for _platform, _functions in {None: XLA, "cpu": CPU}.items():
        _rule = mlir.lower_fun(_functions[_primitive], multiple_results=False)
        mlir.register_lowering(_primitive, _rule, platform=_platform)
