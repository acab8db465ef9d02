"""Which modules a network calls, and which of them are its layers."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax

from cnn_jax.analysis import operations

Path = tuple[str, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
      in_shape, out_shape: for one example; None where it takes or returns something
        other than an array.
      output: the index of its output among `Recorder.outputs`.
      unchanged: the output is the input itself.
    """

    module: nn.Module
    in_shape: Shape | None
    out_shape: Shape | None
    output: int | None
    unchanged: bool


class Recorder:
    """Notes the calls of all modules, in the order in which they end.

    Attributes:
      calls: those of the last recording.
      outputs: the arrays that they returned.
    """

    def __init__(self):
        self.calls: list[Call] = []
        self.outputs: list[Any] = []

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Where modules are called; what was recorded before is dropped."""
        self.calls, self.outputs = [], []
        with nn.intercept_methods(self._record):
            yield

    def _record(self, next_method, args, kwargs, context):
        output = next_method(*args, **kwargs)
        if context.method_name == "__call__":
            index = None
            if (after := _shape(output)) is not None:
                index = len(self.outputs)
                self.outputs.append(output)
            before = _shape(args[0]) if args else None
            unchanged = bool(args) and output is args[0]
            call = Call(context.module, before, after, index, unchanged)
            self.calls.append(call)
        return output


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape[1:]) if hasattr(value, "shape") else None


def layers(calls: Sequence[Call], own: dict[Path, int]) -> list[Call]:
    """The calls of layers: of modules with parameters of their own, and of those that
    call no other module and make an array of an array.

    Args:
      own: parameters by module; see `own_parameters`.

    Raises:
      TypeError: a layer has parameters, but its type is not in `operations.MACS`.
    """
    callers = set()
    for call in calls:
        path = call.module.path
        callers.update(path[:i] for i in range(len(path)))
    found = []
    for call in calls:
        path, kind = call.module.path, type(call.module)
        if path in own:
            if kind not in operations.MACS:
                raise TypeError(
                    f"{'/'.join(path)} is a {kind.__name__}, whose multiply-"
                    "accumulates are unknown: add it to MACS in "
                    "cnn_jax/analysis/operations.py"
                )
        elif path in callers or call.unchanged or None in (call.in_shape, call.output):
            continue
        found.append(call)
    return found


def own_parameters(params: Any) -> dict[Path, int]:
    """How many parameters each module has itself, by its path."""
    own = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        owner = tuple(key.key for key in path[:-1])
        own[owner] = own.get(owner, 0) + leaf.size
    return own
