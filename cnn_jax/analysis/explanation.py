"""Layers in words, with the formulas that give their parameters and output sizes.

The wording is that of textbooks: "96 filters of 11x11, stride 4, padding 0;
(11*11*3*96) + 96 = 34,944; (224 - 11 + 2*0)/4 + 1 = 54", where the division rounds
down. What differs from the default is named: groups, dilation, ceil mode, padding that
is not the same at both ends.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn

from cnn_jax import layers
from cnn_jax.analysis.operations import bank_window
from cnn_jax.layers import arithmetic
from cnn_jax.layers.windows import explicit_padding, per_dimension

Shape = tuple[int, ...]


def explain(module: nn.Module, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
    """A layer's kind, "Convolution (3x3)", and its explanation.

    Shapes are those of one example. A type without words here is called what its class
    is, without explanation.
    """
    rule = EXPLANATIONS.get(type(module))
    if rule is None:
        return type(module).__name__, ""
    return rule(module, in_shape, out_shape)


def explain_input(shape: Shape) -> str:
    """What the input is: "RGB image", "clip of 16 RGB images"."""
    colors = {1: "grayscale", 3: "RGB"}.get(shape[-1], f"{shape[-1]}-channel")
    if len(shape) == 4:
        return f"Input clip of {shape[0]} {colors} images"
    return f"Input {colors} image" if len(shape) == 3 else "Input"


def _by(sizes: Sequence[int | str], sign: str = "x") -> str:
    return sign.join(map(str, sizes))


def _uniform(sizes: Sequence[int]) -> str:
    """One number where all dimensions have the same."""
    return str(sizes[0]) if len(set(sizes)) == 1 else _by(sizes)


def _padding(pairs: Sequence[tuple[int, int]]) -> str:
    if all(before == after for before, after in pairs):
        return _uniform([before for before, _ in pairs])
    pairs = pairs[:1] if len(set(pairs)) == 1 else pairs
    return _by([f"({before}, {after})" for before, after in pairs])


def _geometry(module, in_shape: Shape, window: Shape, strides) -> list[tuple]:
    """(size, kernel size, stride, padding, dilation, ceil mode) of each dimension."""
    rank = len(in_shape) - 1
    strides = window if strides is None else per_dimension(strides, rank)
    dilation = per_dimension(module.dilation, rank)
    pairs = explicit_padding(
        module.padding, in_shape[:-1], window, strides, dilation, type(module).__name__
    )
    ceil_mode = (getattr(module, "ceil_mode", False),) * rank
    return list(
        zip(in_shape[:-1], window, strides, pairs, dilation, ceil_mode, strict=True)
    )


def _attributes(geometry: Sequence[tuple], *, padding: bool) -> str:
    """The stride, and padding and dilation where they are to be named."""
    _, _, strides, pairs, dilation, ceil_mode = zip(*geometry, strict=True)
    words = [f"stride {_uniform(strides)}"]
    if padding or any(map(any, pairs)):
        words.append(f"padding {_padding(pairs)}")
    if max(dilation) > 1:
        words.append(f"dilation {_uniform(dilation)}")
    if any(ceil_mode):
        words.append("ceil mode")
    return ", ".join(words)


def _sizes(geometry: Sequence[tuple]) -> str:
    """(n - f + 2*p)/s + 1 = m, once for all dimensions of which it is the same."""
    formulas = []
    for n, f, s, (before, after), d, ceil_mode in dict.fromkeys(geometry):
        extent = str(f) if d == 1 else f"({d}*({f} - 1) + 1)"
        zeros = f"2*{before}" if before == after else f"{before} + {after}"
        division = f"({n} - {extent} + {zeros})/{s}"
        size = arithmetic.output_size(
            n, f, stride=s, padding=(before, after), dilation=d, ceil_mode=ceil_mode
        )
        if ceil_mode:
            division = f"ceil({division})"
            room = n - d * (f - 1) - 1 + before + after
            if -(-room // s) + 1 > size:  # a last window would see padding alone
                division += " - 1"
        formulas.append(f"{division} + 1 = {size}")
    return ", ".join(formulas)


def _weights(factors: Sequence[int | str], bias: int, total: int) -> str:
    product = _by(factors, "*")
    formula = f"({product}) + {bias}" if bias else product
    return f"{formula} = {total:,}"


def _conv(conv: Any, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
    channels, features = in_shape[-1], out_shape[-1]
    depthwise = isinstance(conv, layers.DepthwiseConv)
    groups = channels if depthwise else conv.groups
    geometry = _geometry(conv, in_shape, conv.window, conv.strides)
    words = [f"{features} filters of {_by(conv.window)}"]
    words.append(_attributes(geometry, padding=True))
    if groups > 1:
        words.append(f"{groups} groups")
    if not conv.use_bias:
        words.append("no bias")
    per_group = f"{channels}/{groups}" if groups > 1 else channels
    factors, bias = (*conv.window, per_group, features), features * conv.use_bias
    count = {"groups": groups, "use_bias": conv.use_bias}
    if isinstance(conv, layers.LocallyConnected):
        kind = "Locally Connected"
        places = out_shape[:-1]
        factors, bias = (*places, *factors), bias * math.prod(places)
        total = arithmetic.locally_connected_parameters(
            places, conv.window, channels, features, **count
        )
    else:
        kind = "Depthwise Convolution" if groups == channels > 1 else "Convolution"
        total = arithmetic.conv_parameters(conv.window, channels, features, **count)
    return (
        f"{kind} ({_by(conv.window)})",
        "; ".join([", ".join(words), _weights(factors, bias, total), _sizes(geometry)]),
    )


def _transposed(
    conv: layers.ConvTranspose, in_shape: Shape, out_shape: Shape
) -> tuple[str, str]:
    rank, channels, features = len(conv.window), in_shape[-1], out_shape[-1]
    strides = per_dimension(conv.strides, rank)
    dilation = per_dimension(conv.dilation, rank)
    words = [f"{features} filters of {_by(conv.window)}, stride {_uniform(strides)}"]
    if isinstance(conv.padding, str):
        words.append(f"padding {conv.padding}")
    else:
        pairs = explicit_padding(
            conv.padding,
            [d * (f - 1) + 1 for f, d in zip(conv.window, dilation, strict=True)],
            conv.window,
            strides,
            dilation,
            "ConvTranspose",
        )
        words.append(f"padding {_padding(pairs)}")
    if max(dilation) > 1:
        words.append(f"dilation {_uniform(dilation)}")
    extra = per_dimension(conv.output_padding, rank)
    if any(extra):
        words.append(f"output padding {_uniform(extra)}")
    if conv.groups > 1:
        words.append(f"{conv.groups} groups")
    if not conv.use_bias:
        words.append("no bias")
    per_group = f"{channels}/{conv.groups}" if conv.groups > 1 else channels
    total = arithmetic.conv_parameters(
        conv.window, channels, features, groups=conv.groups, use_bias=conv.use_bias
    )
    factors = (*conv.window, per_group, features)
    formulas = [_weights(factors, features * conv.use_bias, total)]
    if conv.padding == "SAME":
        sizes = dict.fromkeys(zip(in_shape[:-1], strides, strict=True))
        formulas.append(", ".join(f"{n}*{s} = {n * s}" for n, s in sizes))
    else:
        if conv.padding == "VALID":
            pairs = ((0, 0),) * rank
        geometry = zip(
            in_shape[:-1], conv.window, strides, pairs, dilation, extra, strict=True
        )
        sizes = []
        for n, f, s, (before, after), d, more in dict.fromkeys(geometry):
            size = arithmetic.transposed_output_size(
                n, f, stride=s, padding=(before, after), dilation=d, output_padding=more
            )
            zeros = f"2*{before}" if before == after else f"({before} + {after})"
            reach = f"{d}*({f} - 1)" if d > 1 else f"({f} - 1)"
            rest = f" + {more}" if more else ""
            sizes.append(f"({n} - 1)*{s} - {zeros} + {reach}{rest} + 1 = {size}")
        formulas.append(", ".join(sizes))
    return (
        f"Transposed Convolution ({_by(conv.window)})",
        "; ".join([", ".join(words), *formulas]),
    )


def _filter_bank(
    bank: layers.FilterBank, in_shape: Shape, out_shape: Shape
) -> tuple[str, str]:
    window, channels = bank_window(bank), in_shape[-1]
    names = [f if isinstance(f, str) else "given" for f in bank.filters]
    words = f"{', '.join(names)}, each on each channel, padding {bank.padding}"
    if bank.learned:
        total = arithmetic.depthwise_parameters(
            window, channels, multiplier=len(names), use_bias=False
        )
        words += f"; {_weights((*window, channels, len(names)), 0, total)}"
    return f"Filters ({_by(window)})", words


def _pool(name: str) -> Callable[..., tuple[str, str]]:
    def rule(pool: Any, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        window = per_dimension(pool.window, len(in_shape) - 1)
        geometry = _geometry(pool, in_shape, window, pool.strides)
        words = f"{_by(window)} pool, {_attributes(geometry, padding=False)}"
        if getattr(pool, "count_include_pad", True) is False:
            words += ", padding not counted"
        if hasattr(pool, "p"):
            words += f", p = {pool.p:g}"
        return f"{name} Pooling ({_by(window)})", f"{words}; {_sizes(geometry)}"

    return rule


def _adaptive(name: str) -> Callable[..., tuple[str, str]]:
    def rule(_, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        before, after = _by(in_shape[:-1]), _by(out_shape[:-1])
        return f"Adaptive {name} Pooling", f"{before} values to {after} cells"

    return rule


def _pyramid(
    pool: layers.SpatialPyramidPool, in_shape: Shape, out_shape: Shape
) -> tuple[str, str]:
    rank = len(in_shape) - 1
    grids = [_by([level] * rank) for level in pool.levels]
    cells = " + ".join(grid.replace("x", "*") for grid in grids)
    return (
        "Spatial Pyramid Pooling",
        f"maximum over grids of {', '.join(grids)} cells; "
        f"({cells})*{in_shape[-1]} = {out_shape[-1]:,}",
    )


def _global(_, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
    return "Global Average Pooling", f"mean of {_by(in_shape[:-1])} values"


def _flatten(_, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
    return "-", f"Flatten to 1D; {_by(in_shape, '*')} = {math.prod(in_shape):,}"


def _dense(dense: layers.Dense, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
    before, after = in_shape[-1], out_shape[-1]
    total = arithmetic.dense_parameters(before, after, use_bias=dense.use_bias)
    bias = "" if dense.use_bias else ", no bias"
    formula = _weights((before, after), after * dense.use_bias, total)
    return "Fully Connected", f"{after} units{bias}; {formula}"


def _cosine(
    _: layers.CosineDense, in_shape: Shape, out_shape: Shape
) -> tuple[str, str]:
    before, after = in_shape[-1], out_shape[-1]
    formula = _weights((before, after), 0, before * after)
    return "Cosines", f"with {after} vectors; {formula}"


def _norm(name: str) -> Callable[..., tuple[str, str]]:
    def rule(norm: Any, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        channels = in_shape[-1]
        learned = [
            word
            for word, used in (("scale", norm.use_scale), ("shift", norm.use_bias))
            if used
        ]
        words = f"{' and '.join(learned) or 'nothing'} learned for {channels} channels"
        if isinstance(norm, layers.GroupNorm):
            size = norm.group_size or channels // norm.num_groups
            words += f", {channels // size} groups of {size}"
        count = len(learned)
        return name, f"{words}; {count}*{channels} = {count * channels:,}"

    return rule


def _response_norm(
    norm: layers.LocalResponseNorm, in_shape: Shape, out_shape: Shape
) -> tuple[str, str]:
    return (
        "Local Response Normalization",
        f"over {norm.size} channels; x/({norm.k:g} + {norm.alpha:g}/{norm.size} * "
        f"sum of squares)^{norm.beta:g}",
    )


def _resize(_: layers.Resize, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
    before, after = _by(in_shape[:-1]), _by(out_shape[:-1])
    return "Bilinear Interpolation", f"maps of {before} to {after}"


def _pixel_shuffle(
    shuffle: layers.PixelShuffle, in_shape: Shape, out_shape: Shape
) -> tuple[str, str]:
    before, scale = in_shape[-1], shuffle.scale
    return (
        "Pixel Shuffle",
        f"{before} channels to {scale}x{scale} pixels; "
        f"{before}/({scale}*{scale}) = {out_shape[-1]}",
    )


EXPLANATIONS: dict[type[nn.Module], Callable[..., tuple[str, str]]] = {
    layers.Conv: _conv,
    layers.DepthwiseConv: _conv,
    layers.LocallyConnected: _conv,
    layers.ConvTranspose: _transposed,
    layers.FilterBank: _filter_bank,
    layers.Dense: _dense,
    layers.CosineDense: _cosine,
    layers.BatchNorm: _norm("Batch Normalization"),
    layers.GroupNorm: _norm("Group Normalization"),
    layers.InstanceNorm: _norm("Instance Normalization"),
    layers.LayerNorm: _norm("Layer Normalization"),
    layers.LocalResponseNorm: _response_norm,
    layers.MaxPool: _pool("Max"),
    layers.AvgPool: _pool("Average"),
    layers.LpPool: _pool("Lp"),
    layers.AdaptiveAvgPool: _adaptive("Average"),
    layers.AdaptiveMaxPool: _adaptive("Max"),
    layers.SpatialPyramidPool: _pyramid,
    layers.GlobalAvgPool: _global,
    layers.Resize: _resize,
    layers.PixelShuffle: _pixel_shuffle,
    layers.Flatten: _flatten,
}
