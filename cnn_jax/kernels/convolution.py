"""A convolution and its two gradients as primitives, with a backend for each platform.

A convolution is the trilinear form

    T(x, w, g) = sum over n, o, k, c, f of  g[n, o, f] w[k, c, f] x[n, o s + k d, c]

of an input x, a kernel w and a gradient g. The indices are the example n, the output
position o, the tap k of the window, the input channel c and the feature f; s is the
stride and d the dilation. Each primitive takes two of the three arguments and returns
the derivative of T with respect to the third: `convolution` takes x and w,
`input_gradient` takes w and g, and `filter_gradient` takes x and g.

Each primitive is linear in both of its arguments, and its derivatives are the other two
primitives. So gradients of any order, forward and backward, consist of these three
primitives. A fast lowering of a primitive speeds up every gradient, under `vmap`, in
`scan` and in `cond`.

Accelerators use `lax.conv_general_dilated` and its JAX gradients (`convolution_xla`);
the CPU uses faster alternatives (`convolution_cpu`).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from cnn_jax.kernels import convolution_cpu, convolution_xla
from cnn_jax.kernels.convolution_xla import Pairs, Sizes, output_size


def convolution(
    x: Array,
    kernel: Array,
    *,
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Returns the convolution (batch, *out, features) of `x` with `kernel`.

    `x` is (batch, *space, channels), and the kernel (*window, channels / groups,
    features). Padding is explicit and not negative.
    """
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
    """Returns the gradient of a `convolution` with respect to its input.

    Args:
      gradient: the gradient with respect to the output.
      size: the spatial size of the input.
    """
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
    """Returns the gradient with respect to the kernel of spatial size `window`."""
    return _bind(
        filter_gradient_p,
        x,
        gradient,
        window=_integers(window),
        **_geometry(strides, padding, dilation, groups),
    )


def _geometry(strides, padding, dilation, groups) -> dict[str, Any]:
    """Returns the parameters by name, as hashable Python integers."""
    return {
        "strides": _integers(strides),
        "padding": tuple(map(_integers, padding)),
        "dilation": _integers(dilation),
        "groups": int(groups),
    }


def _integers(values: Sequence[int]) -> Sizes:
    """Returns the values as a tuple of Python integers."""
    return tuple(int(value) for value in values)


convolution_p = Primitive("convolution")
input_gradient_p = Primitive("convolution_input_gradient")
filter_gradient_p = Primitive("convolution_filter_gradient")


def _bind(primitive: Primitive, a: Array, b: Array, **params: Any) -> Array:
    """Applies a primitive to two arrays of a common dtype."""
    dtype = jnp.result_type(a, b)
    return primitive.bind(jnp.asarray(a, dtype), jnp.asarray(b, dtype), **params)


@functools.lru_cache(maxsize=4096)
def _compiled(primitive: Primitive, params: tuple) -> Callable:
    """Returns a jitted function that applies a primitive."""
    return jax.jit(functools.partial(primitive.bind, **dict(params)))


def _evaluate(primitive: Primitive, *arrays: Array, **params: Any) -> Array:
    """Evaluates a primitive outside of `jit`."""
    return _compiled(primitive, tuple(params.items()))(*arrays)


def _abstract_convolution(x, kernel, *, strides, padding, dilation, groups):
    space = output_size(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    return ShapedArray((x.shape[0], *space, kernel.shape[-1]), x.dtype)


def _abstract_input_gradient(gradient, kernel, *, size, groups, **_):
    channels = kernel.shape[-2] * groups
    return ShapedArray((gradient.shape[0], *size, channels), gradient.dtype)


def _abstract_filter_gradient(x, gradient, *, window, groups, **_):
    shape = (*window, x.shape[-1] // groups, gradient.shape[-1])
    return ShapedArray(shape, x.dtype)


# Derivatives. The argument of the derivative comes as an abstract value with a shape.


def _size(x: Any) -> Sizes:
    """Returns the spatial size of an abstract input."""
    return x.aval.shape[1:-1]


def _window(kernel: Any) -> Sizes:
    """Returns the window of an abstract kernel."""
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


# Batching. A second batch dimension of maps is merged with the first. If the kernels
# differ, each kernel gets its own group of channels.


def _join_batch(x: Array, axis: int) -> Array:
    """Merges the dimension of `vmap`, at `axis`, with the batch dimension."""
    x = jnp.moveaxis(x, axis, 0)
    return x.reshape(-1, *x.shape[2:])


def _as_groups(x: Array, axis: int | None, many: int) -> Array:
    """Merges the dimension of `vmap` with the channels: (..., many * channels).

    Args:
      axis: the position of the dimension of `vmap`; None: the array has none and is
        repeated.
      many: the size of the dimension of `vmap`.
    """
    if axis is None:
        x, axis = jnp.broadcast_to(x, (many, *x.shape)), 0
    x = jnp.moveaxis(x, axis, -2)
    return x.reshape(*x.shape[:-2], -1)


def _from_groups(x: Array, many: int) -> Array:
    """Reverses `_as_groups`: from (..., many * channels) to (many, ..., channels)."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], many, -1), -2, 0)


def _many(arrays: Sequence[Array], axes: Sequence[int | None]) -> int:
    """Returns the size of the dimension that `vmap` maps over."""
    return next(
        array.shape[axis]
        for array, axis in zip(arrays, axes, strict=True)
        if axis is not None
    )


def _batch_maps(function: Callable, arrays, axes, **params):
    """Applies `convolution` or `input_gradient` under `vmap`.

    Args:
      function: `convolution` or `input_gradient`.
      arrays: the maps and the kernel.
      axes: for each array the position of the dimension of `vmap`; None without one.
    """
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
    """Applies `filter_gradient` under `vmap`.

    Args:
      arrays: the input and the gradient.
      axes: for each array the position of the dimension of `vmap`; None without one.
    """
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


def multiply_accumulates(primitive: Primitive, a: Any, b: Any, out: Any) -> int:
    """Returns the number of multiply-accumulates of one of the three primitives.

    The number is the same for all three: each value of g (see the module's formula)
    meets all taps of the window in all channels of its group.

    Args:
      a, b, out: the primitive's operands and its result, or objects with the shapes of
        these.
    """
    kernel, gradient = {
        convolution_p: (b, out),
        input_gradient_p: (b, a),
        filter_gradient_p: (out, b),
    }[primitive]
    return math.prod(gradient.shape) * math.prod(kernel.shape[:-1])


_ABSTRACT = {
    convolution_p: _abstract_convolution,
    input_gradient_p: _abstract_input_gradient,
    filter_gradient_p: _abstract_filter_gradient,
}
# The implementation of each primitive on any backend, and on the CPU.
XLA: dict[Primitive, Callable[..., Array]] = {
    convolution_p: convolution_xla.convolution,
    input_gradient_p: convolution_xla.input_gradient,
    filter_gradient_p: convolution_xla.filter_gradient,
}
CPU: dict[Primitive, Callable[..., Array]] = {
    convolution_p: convolution_cpu.convolution,
    input_gradient_p: convolution_cpu.input_gradient,
    filter_gradient_p: convolution_cpu.filter_gradient,
}
for _primitive, _abstract in _ABSTRACT.items():
    _primitive.def_abstract_eval(_abstract)
    _primitive.def_impl(functools.partial(_evaluate, _primitive))
    for _platform, _functions in {None: XLA, "cpu": CPU}.items():
        _rule = mlir.lower_fun(_functions[_primitive], multiple_results=False)
        mlir.register_lowering(_primitive, _rule, platform=_platform)
