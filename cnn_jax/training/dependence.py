"""Finds the outputs of a traced function that depend on its first argument."""

from collections.abc import Callable
from typing import Any

import jax
from jax.interpreters.partial_eval import dce_jaxpr


def dependent(function: Callable[..., dict], *args: Any) -> set:
    """Returns the keys of the outputs that depend on the first argument.

    The function is traced, not executed. Inner programs, such as `nn.remat` and
    `nn.scan` make, are traced too.

    Args:
      function: a function that returns a flat dict of arrays.
      args: arrays or their shapes; the first is a single array.
    """
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    found = set()
    for number, name in enumerate(sorted(shapes)):
        wanted = [number == other for other in range(len(shapes))]
        _, used = dce_jaxpr(traced.jaxpr, wanted)
        if used[0]:
            found.add(name)
    return found
