"""Theoretical receptive fields of a network's feature maps, for any graph.

The receptive field of a value in a feature map is the part of the input that the value
can depend on. Along each spatial dimension, the field is an interval
(`arithmetic.ReceptiveField`), which moves with the position in the feature map. This
module propagates the intervals through the operations that JAX traces. So a network
with branches, sums, concatenation, dilation or pooling needs no further description.
Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks",
derive the fields from the graph of layers.

The field is theoretical: it includes padding, and may be larger than the input.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
from jax.extend import core

from cnn_jax import layers
from cnn_jax.analysis.field_arithmetic import Extent, join, simplest
from cnn_jax.kernels import convolution
from cnn_jax.layers.arithmetic import ReceptiveField


class UnknownOperation(TypeError):
    """The error for an operation whose effect on receptive fields is unknown.

    `RULES` has a rule for each known operation.
    """


# One extent for each spatial dimension of the input.
Seen = tuple[Extent, ...]
# None is an array that does not depend on the input.
Extents = Seen | None


def trace(function: Callable, *arguments: Any) -> tuple[Any, Any]:
    """Traces a function, and returns the shapes and receptive fields of its outputs.

    Nothing is computed, so arguments may be `jax.ShapeDtypeStruct`s.

    Args:
      function: the function.
      arguments: the arguments. The last argument is the network's input,
        (batch, *space, channels).

    Returns:
      The tree of the outputs' `ShapeDtypeStruct`s, and a list with the `Extents` of
        each leaf of this tree.

    Raises:
      UnknownOperation: if the function has an operation without a rule.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return shapes, of_program(closed.jaxpr)


def of_program(jaxpr: core.Jaxpr) -> list[Extents]:
    """Returns the extents of each output of a traced program.

    The last argument of the program is the network's input.

    Raises:
      UnknownOperation: see `trace`.
    """
    *others, x = jaxpr.invars
    return _run(jaxpr, [None] * len(others) + [of_input(_shape(x))])


def of_input(shape: Sequence[int]) -> Seen:
    """Returns the extents of the network's input, (batch, *space, channels).

    The field of each input value is this one value.
    """
    return tuple(
        Extent((ReceptiveField(),), axis, size)
        for axis, size in enumerate(shape[1:-1], start=1)
    )


def _join_arrays(arrays: Sequence[Extents]) -> Seen:
    seen = [extents for extents in arrays if extents is not None]
    return tuple(map(join, zip(*seen, strict=True)))


# Rules for JAX's primitives. A rule takes the equation and the extents of its operands,
# at least one of which depends on the input. It returns the extents of the outputs.


def _run(jaxpr: core.Jaxpr, inputs: Sequence[Extents]) -> list[Extents]:
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom) -> Extents:
        return None if isinstance(atom, core.Literal) else known.get(atom)

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        if all(extents is None for extents in operands):
            continue  # computed from parameters and constants alone
        name = eqn.primitive.name
        if name not in MERGED:
            operands = [seen and _unmerged(seen) for seen in operands]
        if name not in RULES:
            seeing = next(
                atom
                for atom, extents in zip(eqn.invars, operands, strict=True)
                if extents is not None
            )
            raise UnknownOperation(
                f"the receptive field of the operation {name} on "
                f"{seeing.aval.str_short()} is unknown: add a rule to "
                "cnn_jax/analysis/receptive_field.py"
            )
        known.update(zip(eqn.outvars, RULES[name](eqn, operands), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _unmerged(extents: Seen) -> Seen:
    """Returns extents in which no axis is merged (see `Extent.merged`).

    Each value along a merged axis is assumed to depend on all positions of the axis.
    """
    return tuple(extent.gathered(0) if extent.merged else extent for extent in extents)


def _shapes(eqn) -> list[tuple[int, ...]]:
    return [_shape(atom) for atom in eqn.invars]


def _shape(atom: Any) -> tuple[int, ...]:
    return atom.aval.shape


def _elementwise(eqn, operands):
    return [_join_arrays(operands)] * len(eqn.outvars)


def _call(eqn, operands):
    if rule := FUNCTIONS.get(eqn.params.get("name")):
        return rule(eqn, operands)
    values = eqn.params.values()
    (jaxpr,) = (v for v in values if isinstance(v, core.Jaxpr | core.ClosedJaxpr))
    program = jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr
    return _run(program, operands)


def _spelled_out(eqn, operands):
    """Returns the extents of the output of a convolution of `kernels.convolution`.

    The convolution is replaced by its implementation in XLA, which has rules.
    """
    function = partial(convolution.XLA[eqn.primitive], **eqn.params)
    return _run(jax.make_jaxpr(function)(*[v.aval for v in eqn.invars]).jaxpr, operands)


def _without(extents: Seen, shape: Sequence[int], axes: Sequence[int]) -> Seen:
    """Returns the extents after an array is reduced over some axes.

    Args:
      extents: the extents of the array.
      shape: the shape of the array.
      axes: the axes that are reduced and removed.
    """

    def one(extent):
        if extent.axis in axes:
            return extent.gathered(shape[extent.axis])
        if extent.axis is None:
            return extent
        return replace(extent, axis=extent.axis - sum(a < extent.axis for a in axes))

    return tuple(map(one, extents))


def _reduction(eqn, operands):
    joined = _join_arrays(operands)
    return [_without(joined, _shapes(eqn)[0], eqn.params["axes"])] * len(eqn.outvars)


def _squeeze(eqn, operands):
    return [_without(operands[0], _shapes(eqn)[0], eqn.params["dimensions"])]


def _reduce_window(eqn, operands):
    p = eqn.params

    def one(extent):
        a = extent.axis
        if a is None:
            return extent
        return extent.dilated(p["base_dilation"][a]).window(
            int(p["window_dimensions"][a]),
            int(p["window_strides"][a]),
            int(p["padding"][a][0]),
            int(p["window_dilation"][a]),
        )

    return [tuple(map(one, _join_arrays(operands)))] * len(eqn.outvars)


def _convolution(eqn, operands):
    p, (x_shape, kernel_shape) = eqn.params, _shapes(eqn)
    lhs, rhs, out = p["dimension_numbers"]
    extents, kernel = operands
    if kernel is not None:  # a kernel that depends on the input
        kernel = _without(kernel, kernel_shape, range(len(kernel_shape)))
        extents = _join_arrays([extents, kernel])

    def one(extent):
        a = extent.axis
        if a is None:
            return extent
        if a == lhs[0]:
            return replace(extent, axis=out[0])
        if a == lhs[1]:
            return extent.gathered(x_shape[a])
        i = lhs.index(a) - 2
        return extent.dilated(p["lhs_dilation"][i]).window(
            kernel_shape[rhs[i + 2]],
            int(p["window_strides"][i]),
            int(p["padding"][i][0]),
            int(p["rhs_dilation"][i]),
            axis=out[i + 2],
        )

    return [tuple(map(one, extents))]


def _dot_general(eqn, operands):
    contracted, batch = eqn.params["dimension_numbers"]
    shapes, found = _shapes(eqn), []
    before = len(batch[0])
    for side, extents in enumerate(operands):
        shape = shapes[side]
        free = [
            a for a in range(len(shape)) if a not in (*contracted[side], *batch[side])
        ]

        def one(extent, side=side, shape=shape, free=free, before=before):
            a = extent.axis
            if a is None:
                return extent
            if a in contracted[side]:
                return extent.gathered(shape[a])
            if a in batch[side]:
                return replace(extent, axis=batch[side].index(a))
            return replace(extent, axis=before + free.index(a))

        if extents is not None:
            found.append(tuple(map(one, extents)))
        before += len(free)
    return [_join_arrays(found)]


def _broadcast_in_dim(eqn, operands):
    shape, places = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    before = _shapes(eqn)[0]

    def one(extent):
        a = extent.axis
        if a is None:
            return extent
        if shape[places[a]] != before[a]:
            return extent.gathered(1)
        return replace(extent, axis=places[a])

    return [tuple(map(one, operands[0]))]


def _reshape(eqn, operands):
    old, new = _shapes(eqn)[0], eqn.params["new_sizes"]
    last = len(new) - 1  # the channels, where a moved dimension is not a map

    def place(extent):
        """Returns where the reshaped array holds the extent's spatial dimension.

        Returns (axis, n, m); for n and m see `Extent.merged`. Returns None if no
        single axis holds the dimension.
        """
        a = extent.axis
        if a is None:
            return None
        n, inner = extent.merged or (old[a], 1)
        inner *= math.prod(old[a + 1 :])  # values from one position to the next
        for b in sorted(range(min(a, n > 1), last), key=lambda b: abs(b - a)):
            behind = math.prod(new[b + 1 :])
            if inner % behind == 0 and new[b] * behind % (inner * n) == 0:
                return b, n, inner // behind
        return None

    places = [place(extent) for extent in operands[0]]

    def one(extent, found):
        a = extent.axis
        if a is None:
            return extent
        if found is not None:
            b, n, inner = found
            if (
                n * inner < new[b]
                or sum(p is not None and p[0] == b for p in places) > 1
            ):
                return replace(extent, axis=b, merged=(n, inner))
            return replace(extent, merged=None).repeated(inner, axis=b)
        if extent.merged is None:
            # The new axis holds groups of positions, as in space-to-depth.
            inner = math.prod(old[a + 1 :])
            for b in range(1, last):
                behind = math.prod(new[b + 1 :])
                if new[b] > 1 and new[b] * behind == old[a] * inner:
                    part, rest = divmod(behind, inner)
                    if not rest and math.prod(new[:b]) == math.prod(old[:a]):
                        return extent.window(part, part, axis=b)
        return extent.gathered(old[a])

    return [tuple(map(one, operands[0], places))]


def _resize(eqn, operands):
    """Returns the extents of the output of `layers.resize_bilinear`.

    An output value depends on the two input values on both sides of its position. At
    the border, one of the two lies outside of the input and counts like padding.
    """
    before, after = _shapes(eqn)[0], _shape(eqn.outvars[0])
    return [
        tuple(
            e if e.axis is None else e.interpolated(before[e.axis], after[e.axis])
            for e in _unmerged(operands[0])
        )
    ]


def _transpose(eqn, operands):
    order = eqn.params["permutation"]
    return [
        tuple(
            e if e.axis is None else replace(e, axis=order.index(e.axis))
            for e in operands[0]
        )
    ]


def _pad(eqn, operands):
    config = eqn.params["padding_config"]
    return [
        tuple(
            e
            if e.axis is None
            else e.dilated(config[e.axis][2] + 1).window(before=int(config[e.axis][0]))
            for e in _join_arrays(operands)
        )
    ]


def _rev(eqn, operands):
    shape = _shapes(eqn)[0]

    def one(extent):
        a = extent.axis
        if a not in eqn.params["dimensions"]:
            return extent
        fields = [extent.at(i) for i in reversed(range(shape[a]))]
        step = -extent.phases[0].stride * shape[a] // len(extent.phases)
        return replace(
            extent, phases=simplest([replace(f, stride=step) for f in fields])
        )

    return [tuple(map(one, operands[0]))]


def _slice(eqn, operands):
    starts = eqn.params["start_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    return [
        tuple(
            e
            if e.axis is None
            else e.window(stride=int(strides[e.axis]), before=-int(starts[e.axis]))
            for e in operands[0]
        )
    ]


def _split(eqn, operands):
    outputs, start = [], 0
    for size in eqn.params["sizes"]:
        outputs.append(
            tuple(
                e.window(before=-start) if e.axis == eqn.params["axis"] else e
                for e in operands[0]
            )
        )
        start += int(size)
    return outputs


def _stack(eqn, operands):
    new = eqn.params["axis"]

    def one(extent):
        a = extent.axis
        return extent if a is None or a < new else replace(extent, axis=a + 1)

    return [tuple(map(one, _join_arrays(operands)))]


def _tile(eqn, operands):
    shape, times = _shapes(eqn)[0], eqn.params["reps"]

    def one(extent):
        a = extent.axis
        return extent if a is None or times[a] == 1 else extent.gathered(shape[a])

    return [tuple(map(one, operands[0]))]


def _concatenate(eqn, operands):
    axis = eqn.params["dimension"]
    lengths = [shape[axis] for shape in _shapes(eqn)]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    pieces = [
        (
            _unmerged(extents) if axis in (e.axis for e in extents) else extents,
            start,
            length,
        )
        for extents, start, length in zip(operands, starts, lengths, strict=True)
        if extents is not None
    ]

    def one(dimension):
        parts = [(extents[dimension], *rest) for extents, *rest in pieces]
        moved = [
            e.window(before=start) if e.axis == axis else e for e, start, _ in parts
        ]
        along = [e.stride if e.axis == axis else None for e in moved]
        if not any(along):
            cells = set(lengths) == {1} and all(e.axis is None for e in moved)
            irregular = cells and len(set(moved)) > 1
        else:
            irregular = len(set(along)) > 1
        if irregular:
            return _cells(parts, sum(lengths), axis)
        return join(moved)

    return [tuple(map(one, range(len(pieces[0][0]))))]


def _cells(parts, positions: int, axis: int) -> Extent:
    """Returns the extent of an array that is concatenated from irregular pieces.

    Every position becomes a phase of its own. Examples are the cells of adaptive
    pooling, which may have different sizes, and a mirrored border, where the field
    moves backward.

    Args:
      parts: (extent, start, length) of each piece; `start` is the position of the piece
        in the array.
      positions: the number of positions of the array along `axis`.
      axis: the axis of the concatenation.
    """
    fields: list[ReceptiveField | None] = [None] * positions
    for extent, start, length in parts:
        for i in range(length):
            fields[start + i] = extent.at(i) if extent.axis == axis else extent.at(0)
    seen = [field for field in fields if field]
    step = round((seen[-1].start - seen[0].start) * positions / max(len(seen) - 1, 1))
    first = parts[0][0]
    return Extent(
        simplest([field and replace(field, stride=step) for field in fields]),
        axis,
        first.size,
        any(extent.whole for extent, *_ in parts),
    )


def _gather(eqn, operands):
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    shape, (extents, indices) = _shapes(eqn)[0], operands
    lost = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    kept = [a for a in range(len(shape)) if a not in lost]

    def one(extent):
        a = extent.axis
        if a is None:
            return extent
        if a in kept and sizes[a] == shape[a]:
            return replace(extent, axis=numbers.offset_dims[kept.index(a)])
        return extent.gathered(shape[a])

    if indices is not None:
        raise UnknownOperation(
            "the receptive field of the operation gather is unknown: its indices "
            "depend on the input"
        )
    return [tuple(map(one, extents))]


def _cond(eqn, operands):
    """Returns the extents of the outputs of a `cond` that chooses by platform.

    The default branch is used. Any other `cond` raises UnknownOperation.
    """
    if eqn.params.get("branches_platforms") is None:
        raise UnknownOperation(
            "the receptive field of the operation cond is unknown: its branch depends "
            "on the input"
        )
    return _run(eqn.params["branches"][-1].jaxpr, operands[1:])


def _rules() -> dict[str, Callable]:
    elementwise = """abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt
        ceil clamp convert_element_type copy copy_p cos cosh div eq erf erf_inv erfc exp
        exp2 expm1 floor ge gt integer_pow is_finite le log log1p logistic lt max min
        mul name ne neg nextafter not optimization_barrier or pow reduce_precision rem
        round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor"""
    reductions = """argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod
        reduce_sum reduce_xor"""
    windows = "reduce_window reduce_window_max reduce_window_min reduce_window_sum"
    calls = """checkpoint closed_call core_call custom_jvp_call custom_vjp_call jit pjit
        remat remat2"""
    return {
        **dict.fromkeys(elementwise.split(), _elementwise),
        **dict.fromkeys(reductions.split(), _reduction),
        **dict.fromkeys(windows.split(), _reduce_window),
        **dict.fromkeys(calls.split(), _call),
        **{primitive.name: _spelled_out for primitive in convolution.XLA},
        "broadcast_in_dim": _broadcast_in_dim,
        "concatenate": _concatenate,
        "cond": _cond,
        "conv_general_dilated": _convolution,
        "dot_general": _dot_general,
        "gather": _gather,
        "pad": _pad,
        "reshape": _reshape,
        "rev": _rev,
        "slice": _slice,
        "split": _split,
        "squeeze": _squeeze,
        "stack": _stack,
        "tile": _tile,
        "transpose": _transpose,
    }


RULES = _rules()
# Functions that are traced as one call and have a rule of their own. The types of JAX
# lack the name of a jitted function.
FUNCTIONS = {layers.resize_bilinear.__name__: _resize}  # type: ignore[attr-defined]
# Operations that do not move along an axis, so an axis may be `Extent.merged`.
MERGED = {
    name
    for name, rule in RULES.items()
    if rule in (_elementwise, _call, _reduction, _broadcast_in_dim, _dot_general)
    or rule in (_concatenate, _reshape, _squeeze, _stack, _transpose)
}
