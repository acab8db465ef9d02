"""Records the calls of a network's modules, and finds which modules are layers."""

import contextlib
import itertools
import math
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
from flax.core.tracers import current_trace
from flax.traverse_util import flatten_dict

from cnn_jax.layers.described import UNCOUNTED, Described

Path = tuple[str, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of a module, by another module or by the user.

    Attributes:
      module: the module.
      method: the name of the called method.
      scope: the name of the `jax.named_scope` around the call's operations.
      lifted: whether the call belongs to an inner program, such as the body of
        `nn.scan` or `nn.remat`. An inner program may run several times or never.
      leaf: whether the module calls no other module during the call.
      in_shape, out_shape: the shapes of the input and output for one example; None if
        the input or output is not an array.
      output: the index of the call's output in `Recorder.outputs`; None if the output
        is not recorded.
      memory: the size of the output for one example, in bytes; 0 if an earlier call has
        already returned the same array.
      unchanged: whether the call returns its input itself.
    """

    module: nn.Module
    method: str
    scope: str
    lifted: bool
    leaf: bool
    in_shape: Shape | None
    out_shape: Shape | None
    output: int | None
    memory: int
    unchanged: bool

    @property
    def described(self) -> bool:
        """True if the formulas of the layer (`layers.Described`) hold for this call."""
        return (
            isinstance(self.module, Described)
            and self.method == "__call__"
            and not self.lifted
            and None not in (self.in_shape, self.out_shape)
        )


@dataclass
class _Open:
    """A call that has not returned yet."""

    path: Path
    lifted: bool
    leaf: bool = True


class Recorder:
    """Records the calls of all modules, in the order in which the calls return.

    If a module calls another one of its own methods, the inner call is not recorded
    separately.

    Attributes:
      calls: the calls of the last recording.
      outputs: the arrays that the calls returned. The outputs of lifted calls are left
        out, because these arrays exist only inside the lifted program.
      types: the class of each module that was used, by the module's path.
      scope: a regular expression that matches `UNCOUNTED` and the scopes of this
        recorder's calls. Scopes of other recorders must not match, because JAX caches
        traced programs together with their scopes.
    """

    def __init__(self):
        self._prefix = f"call-{uuid.uuid4().hex}-"
        self.scope = re.compile(rf"{self._prefix}\d+|{UNCOUNTED}")
        self._numbers = itertools.count()
        self.types: dict[Path, type[nn.Module]] = {}
        self._clear()

    def _clear(self) -> None:
        self.calls: list[Call] = []
        self.outputs: list[Any] = []
        self._seen: dict[int, Any] = {}
        self._open: list[_Open] = []
        self._trace = current_trace()

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Records the calls inside the `with` block. Earlier recordings are deleted."""
        self._clear()
        with nn.intercept_methods(self._record):
            yield

    def _record(self, method, args, kwargs, context):
        module = context.module
        if module.scope is None:  # a method of an unbound module, which has no path
            return method(*args, **kwargs)
        path, lifted = module.path, current_trace() != self._trace
        self.types.setdefault(path, type(module))
        if context.method_name == "setup":
            return method(*args, **kwargs)
        if self._open and self._open[-1].path == path:
            # `nn.scan` and similar functions wrap the module in another one of the same
            # path. Other methods may be traced elsewhere, to find the shape of a
            # parameter.
            if context.method_name == "__call__":
                self._open[-1].lifted |= lifted
            return method(*args, **kwargs)
        if self._open:
            self._open[-1].leaf = False
        scope = f"{self._prefix}{next(self._numbers)}"
        self._open.append(_Open(path, lifted))
        try:
            with jax.named_scope(scope):
                output = method(*args, **kwargs)
        finally:
            call = self._open.pop()
        given = next(iter((*args, *kwargs.values())), None)
        shape, index = _shape(output), None
        if shape is not None and not lifted:
            index = len(self.outputs)
            self.outputs.append(output)
        self.calls.append(
            Call(
                module,
                context.method_name,
                scope,
                call.lifted,
                call.leaf,
                _shape(given),
                shape,
                index,
                self._new_bytes(output),
                output is given,
            )
        )
        return output

    def _new_bytes(self, output: Any) -> int:
        """Returns the size of a call's output for one example, in bytes.

        Arrays that an earlier call has already returned do not count.
        """
        arrays = [a for a in jax.tree.leaves(output) if _shape(a) is not None]
        new = {id(a): a for a in arrays if id(a) not in self._seen}
        self._seen |= new
        return sum(math.prod(a.shape[1:]) * a.dtype.itemsize for a in new.values())


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape[1:]) if hasattr(value, "shape") else None


def layers(
    calls: Sequence[Call],
    own: Collection[Path],
    macs: Mapping[str | None, int],
) -> list[Call]:
    """Returns those of `calls` that are calls of layers.

    A module is a layer in three cases: if it has parameters of its own; if it calls no
    other module and maps an array to another array; or if it multiplies matrices
    itself, as attention does.

    Args:
      calls: the recorded calls of all modules.
      own: the paths of modules with parameters of their own; see `own_parameters`.
      macs: the program's multiply-accumulates for each `Call.scope`. JAX may trace a
        lifted call more than once; a lifted call whose scope is not a key is such a
        repetition, and is left out.
    """

    def is_layer(call: Call) -> bool:
        if call.lifted and call.scope not in macs:
            return False
        if call.module.path in own or macs.get(call.scope, 0):
            return True
        shapes = (call.in_shape, call.out_shape)
        changes = not call.unchanged and None not in shapes
        return call.leaf and call.method == "__call__" and changes

    return [call for call in calls if is_layer(call)]


def own_parameters(params: Any, modules: Collection[Path]) -> dict[Path, int]:
    """Returns the number of parameters that each module has itself, by path.

    A parameter belongs to the innermost module whose path begins the parameter's path.

    Args:
      params: the parameters (the collection "params").
      modules: the paths of modules.
    """
    own: dict[Path, int] = {}
    for path, value in flatten_dict(nn.unbox(params)).items():
        owners = (path[:i] for i in reversed(range(len(path))))
        owner = next(filter(modules.__contains__, owners), ())
        size = sum(leaf.size for leaf in jax.tree.leaves(value))
        own[owner] = own.get(owner, 0) + size
    return own
