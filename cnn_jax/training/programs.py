"""Compiled programs that several runs in a process share.

JAX compiles a function again if a new run has made a new function, even if both
functions compute the same. Here functions are compared by their lowered programs, which
contain all constants, shapes and names. So the runs of an arm in a sweep, which differ
only in their seeds, compile each step once.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import jax

MOST = 16  # functions that are kept for later runs

# The functions that this process has called, by the hash of their lowered programs. The
# most recently used function is the last.
_functions: dict[str, Callable[..., Any]] = {}


class Shared:
    """A function that uses the compiled program of an equal function, if there is one.

    Attributes:
      lower: the method `lower` of the function.
    """

    def __init__(self, function: Any):
        """Wraps a function.

        Args:
          function: a function that JAX compiles when it is called: the result of
            `jax.jit` or `jax.pmap`.
        """
        self.lower = function.lower
        self._function = function
        self._equal: dict[Any, Callable[..., Any]] = {}  # by shapes

    def __call__(self, first: Any, *others: Any) -> Any:
        """Calls the function.

        Args:
          first: the first argument, whose shapes are the same in each call.
          others: the other arguments.
        """
        shapes = tuple((x.shape, x.dtype) for x in jax.tree.leaves(others))
        if shapes not in self._equal:
            self._equal[shapes] = _known(self._function, first, *others)
        return self._equal[shapes](first, *others)


def _known(function: Any, *args: Any) -> Callable[..., Any]:
    """Returns the first function that has the same program for such arguments."""
    text = function.lower(*args).as_text()
    key = hashlib.sha256(text.encode()).hexdigest()
    found = _functions.pop(key, function)
    _functions[key] = found
    for oldest in list(_functions)[:-MOST]:
        del _functions[oldest]
    return found
