"""Finds the outputs of a traced function that depend on its first argument."""

from collections.abc import Callable
from typing import Any

import jax
from jax.interpreters.partial_eval import dce_jaxpr


def dependent(function: Callable[..., dict], *args: Any) -> set:
    """Returns the keys of the outputs that depend on the function's first argument.

    JAX traces the function, but does not execute it. Functions inside `nn.remat` or
    `nn.scan` are traced too.

    Args:
      function: a function that returns a flat dict of arrays.
      args: the arguments of the function, as arrays or as shapes. The first argument
        must be a single array.
    """
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    found = set()
    for number, name in enumerate(sorted(shapes)):
        wanted = [number == other for other in range(len(shapes))]
        _, used = dce_jaxpr(traced.jaxpr, wanted)
        if used[0]:
            found.add(name)
    return found
