"""What a model costs: its layers with output shapes, parameters and operations.

Nothing is computed: shapes come from `jax.eval_shape`, so that a large network
costs no memory, and multiply-accumulates from the formulas of
`layers.arithmetic`.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from tabulate import SEPARATING_LINE, tabulate

from cnn_jax import layers
from cnn_jax.errors import unknown
from cnn_jax.layers import arithmetic

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row: one call of a layer.

    Attributes:
      name: the path of the module, as in the parameters: "stage1_block1/conv1".
      type: the module's class.
      output_shape: for one example, without the batch dimension.
      parameters: trainable ones (the collection "params"); a layer that is called
        several times has them in its first row.
      macs: multiply-accumulates on one example.
    """

    name: str
    type: str
    output_shape: Shape
    parameters: int
    macs: int


def _conv_macs(conv: layers.Conv, in_shape: Shape, out_shape: Shape) -> int:
    return arithmetic.conv_macs(
        out_shape[:-1], conv.window, in_shape[-1], out_shape[-1], groups=conv.groups
    )


def _dense_macs(_: layers.Dense, in_shape: Shape, out_shape: Shape) -> int:
    vectors = math.prod(out_shape[:-1])
    return vectors * arithmetic.dense_macs(in_shape[-1], out_shape[-1])


def _no_macs(_: nn.Module, in_shape: Shape, out_shape: Shape) -> int:
    return 0


# Multiply-accumulates of (module, shape of its input, shape of its output), for
# every type of module with parameters. By the convention of the literature they
# are those of convolutions and fully connected layers; normalisation can be folded
# into the convolution before it.
MACS: dict[type[nn.Module], Callable[[Any, Shape, Shape], int]] = {
    layers.Conv: _conv_macs,
    layers.Dense: _dense_macs,
    layers.BatchNorm: _no_macs,
}


def layer_table(model: nn.Module, input_shape: Sequence[int]) -> list[Layer]:
    """The input and all layers of `model`, in the order in which they are applied.

    Layers are the modules that call no other module, or have parameters of their
    own. Their parameters add up to the model's.

    Args:
      model: called as `model(x, train)`.
      input_shape: of one example, (height, width, channels).

    Raises:
      TypeError: a layer with parameters whose type is not in `MACS`, or whose
        `__call__` is not what uses them.
    """
    calls = []
    callers = set()

    def record(next_method, args, kwargs, context):
        output = next_method(*args, **kwargs)
        if context.method_name == "__call__":
            module = context.module
            callers.update(module.path[:i] for i in range(len(module.path)))
            calls.append((module, args[0].shape[1:], output.shape[1:]))
        return output

    def init(key, x):  # a function of its own, since JAX caches traces by function
        return model.init(key, x, train=False)

    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    with nn.intercept_methods(record):
        variables = jax.eval_shape(init, jax.random.key(0), x)

    own = _own_parameters(variables.get("params", {}))
    table = [Layer("input", "Input", tuple(input_shape), 0, 0)]
    counted = set()
    for module, in_shape, out_shape in calls:
        if module.path in callers and module.path not in own:
            continue
        kind = type(module)
        if module.path in own and kind not in MACS:
            raise TypeError(
                f"{'/'.join(module.path)} is a {kind.__name__}, whose "
                "multiply-accumulates are unknown: add it to costs.MACS"
            )
        table.append(
            Layer(
                name="/".join(module.path),
                type=kind.__name__,
                output_shape=tuple(out_shape),
                parameters=0 if module.path in counted else own.get(module.path, 0),
                macs=MACS.get(kind, _no_macs)(module, in_shape, out_shape),
            )
        )
        counted.add(module.path)
    if missed := own.keys() - counted:
        names = ", ".join("/".join(path) for path in sorted(missed))
        raise TypeError(f"parameters of {names} are used outside of `__call__`")
    return table


def _own_parameters(params: Any) -> dict[tuple[str, ...], int]:
    """Parameters of each module's own, by its path."""
    own = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        owner = tuple(key.key for key in path[:-1])
        own[owner] = own.get(owner, 0) + leaf.size
    return own


def totals(table: Sequence[Layer]) -> tuple[int, int]:
    """The sums of parameters and multiply-accumulates."""
    return sum(row.parameters for row in table), sum(row.macs for row in table)


def as_json(table: Sequence[Layer]) -> dict[str, Any]:
    """{"layers": [{"name", "type", "output_shape", "parameters", "macs"}],
    "parameters": N, "macs": N}, ready for `json.dumps`."""
    parameters, macs = totals(table)
    rows = [dataclasses.asdict(row) for row in table]
    for row in rows:
        row["output_shape"] = list(row["output_shape"])
    return {"layers": rows, "parameters": parameters, "macs": macs}


FORMATS = {"table": "simple", "markdown": "pipe", "json": "json"}


def render(table: Sequence[Layer], format: str = "table") -> str:
    """The table as text: "table" for a terminal, "markdown" or "json".

    Raises:
      UserError: another format.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format == "json":
        return json.dumps(as_json(table), indent=2)
    rows = [
        (row.name, row.type, str(row.output_shape), row.parameters, row.macs)
        for row in table
    ]
    total = ("total", "", "", *totals(table))
    rows += [SEPARATING_LINE, total] if format == "table" else [total]
    return tabulate(
        rows,
        headers=("layer", "type", "output shape", "parameters", "macs"),
        tablefmt=FORMATS[format],
        intfmt=",",
    )
