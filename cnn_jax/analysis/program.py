"""Counts the multiply-accumulates of a traced program, by named scope.

Matrix products and convolutions are counted. Elementwise sums and products are not.
Inner programs of `jit`, `remat` and custom derivatives are counted too. The body of a
`scan` is multiplied by the number of iterations. Of a `cond`, the branch with the most
multiply-accumulates counts. The body of a `while` counts once, because the number of
its iterations is unknown.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core

from cnn_jax.kernels import convolution


def macs_by_scope(
    jaxpr: core.Jaxpr, scope: re.Pattern[str], outer: str | None = None
) -> dict[str | None, int]:
    """Returns the number of multiply-accumulates inside each `jax.named_scope`.

    Args:
      jaxpr: the traced program.
      scope: a regular expression for the names of scopes. An equation of the program
        belongs to the innermost matching scope around the equation.
      outer: the scope around the whole program; None if there is none.

    Returns:
      The number of multiply-accumulates, by the name of each scope that contains an
        equation. The key None stands for the equations outside of all scopes.
    """
    counts: dict[str | None, int] = {}
    for eqn in jaxpr.eqns:
        names = scope.findall(str(eqn.source_info.name_stack))
        owner = names[-1] if names else outer
        parts = [{owner: _macs(eqn)}]
        parts += [macs_by_scope(inner, scope, owner) for inner in _programs(eqn)]
        if eqn.primitive.name == "cond":
            most = max(parts, key=lambda part: sum(part.values()))
            parts = [most, *(dict.fromkeys(part, 0) for part in parts)]
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for part in parts:
            for name, macs in part.items():
                counts[name] = counts.get(name, 0) + times * macs
    return counts


def _programs(eqn: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """Yields the inner programs of an equation, such as the body of a `scan`."""
    for value in jax.tree.leaves(eqn.params, is_leaf=_is_program):
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value


def _is_program(value: object) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


def _macs(eqn: core.JaxprEqn) -> int:
    """Returns the number of multiply-accumulates of one equation.

    Inner programs of the equation are not counted.
    """
    shapes: list[Any] = [atom.aval for atom in (*eqn.invars, *eqn.outvars)]
    if eqn.primitive in convolution.XLA:
        return convolution.multiply_accumulates(eqn.primitive, *shapes)
    if eqn.primitive.name == "conv_general_dilated":
        return _convolution(eqn.params, *(aval.shape for aval in shapes))
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        left, _, out = (aval.shape for aval in shapes)
        return math.prod(out) * math.prod(left[axis] for axis in contracted)
    return 0


def _convolution(params, x, kernel, out) -> int:
    """Returns the number of multiply-accumulates of a convolution.

    Each output value is a sum over the whole window, padding included. In a transposed
    convolution (`lhs_dilation` above 1), each input value is multiplied by the whole
    kernel instead: the zeros that are inserted between input values are not counted.

    Args:
      params: the parameters of the equation.
      x, kernel, out: the shapes of the input, the kernel and the output.
    """
    numbers = params["dimension_numbers"]
    batch, _, *space = numbers.out_spec
    places = out[batch]
    for axis, before, holes in zip(
        space, numbers.lhs_spec[2:], params["lhs_dilation"], strict=True
    ):
        places *= out[axis] if holes == 1 else x[before]
    return places * math.prod(kernel)
