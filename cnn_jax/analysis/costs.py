"""The cost of a model: its layers with shapes, parameters, operations and memory.

The network is traced but not computed, so that even a large network needs no memory.
Tracing gives the shapes and the receptive fields. Multiply-accumulates come from the
layers' formulas (`layers.Described`). For a layer without formulas, they are counted in
the traced program.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, overload

import flax.linen as nn
import jax
import jax.numpy as jnp
from tabulate import SEPARATING_LINE, tabulate

from cnn_jax.analysis import calls, program, receptive_field
from cnn_jax.core import strict_json
from cnn_jax.core.errors import unknown
from cnn_jax.models.network import described

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row of a table: one call of a layer.

    Attributes:
      name: the path of the module, as in the parameters: "stage1_block1/conv1".
      type: the module's class.
      output_shape: the shape of one example's output, without the batch dimension.
      parameters: the number of trainable parameters (the collection "params"). If a
        layer is called several times, its parameters count in its first row only.
      macs: the number of multiply-accumulates for one example in evaluation.
      memory: the size of the output for one example, in bytes and in the dtype of the
        computation.
      receptive_field: the theoretical number of input pixels that one output pixel
        depends on, along each dimension; None if it is unknown for an earlier
        operation.
      stride: the number of input pixels from the field of one output pixel to the field
        of the next, along each dimension; None if all output pixels have the same
        field, as after global pooling.
      offset: the position of the first input pixel in the field of the first output
        pixel, along each dimension. A negative position lies in the padding.
      training_only: whether the layer belongs to a head that is used only in training.
      kind: the kind of layer in words: "Convolution (3x3)".
      explanation: the layer's attributes, and the formulas of its number of parameters
        and of its output shape, in words.
      traced: whether the multiply-accumulates were counted in the traced program.
    """

    name: str
    type: str
    output_shape: Shape
    parameters: int
    macs: int
    memory: int
    receptive_field: Shape | None = None
    stride: tuple[Fraction | None, ...] | None = None
    offset: Shape | None = None
    training_only: bool = False
    kind: str = ""
    explanation: str = ""
    traced: bool = False


@dataclasses.dataclass(frozen=True)
class Table(Sequence):
    """The layers of a model, in the order in which they are applied.

    Attributes:
      rows: first the input, then the layers that evaluation uses, then the layers that
        only training uses.
      features: the row of the last feature map before the head (`models.features`);
        None if the model has no such feature map.
      exchanged: the layers that the config has exchanged, in words; see
        `Network.exchanged`.
    """

    rows: tuple[Layer, ...]
    features: Layer | None
    exchanged: str = ""

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Layer, ...]: ...
    def __getitem__(self, index):
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def parameters(self) -> int:
        """The number of trainable parameters that evaluation uses."""
        return sum(row.parameters for row in self.rows if not row.training_only)

    @property
    def training_only_parameters(self) -> int:
        """The number of trainable parameters of auxiliary heads.

        Only training uses these heads.
        """
        return sum(row.parameters for row in self.rows if row.training_only)

    @property
    def macs(self) -> int:
        """The number of multiply-accumulates for one example in evaluation."""
        return sum(row.macs for row in self.rows)

    @property
    def traced(self) -> bool:
        """True if some multiply-accumulates were counted in the traced program."""
        return any(row.traced for row in self.rows)

    @property
    def memory(self) -> int:
        """The total size in bytes of all layers' outputs for one example.

        Only the layers that evaluation uses count.
        """
        return sum(row.memory for row in self.rows[1:] if not row.training_only)

    @property
    def weighted_layers(self) -> int:
        """The number of convolutions and fully connected layers in evaluation.

        Networks such as ResNet-50 are named after this number. Layers in the shortcuts
        of residual blocks do not count.
        """
        return sum(row.macs > 0 and "shortcut" not in row.name for row in self.rows)


def layer_table(model: nn.Module, input_shape: Sequence[int]) -> Table:
    """Returns the input and all layers of `model`, any linen module.

    `calls.layers` defines which modules are layers. Modules that return their input
    unchanged in evaluation, such as dropout, are not layers. The parameters of all rows
    add up to the parameters of the model.

    Args:
      model: called as `model.apply(variables, x, train=False)`.
      input_shape: the shape of one example, such as (height, width, channels).
    """
    initial, evaluation = calls.Recorder(), calls.Recorder()

    # New functions for each table, because JAX caches traces by function.
    def init(key, x):
        with initial.recording():
            return model.init(key, x, train=False)

    def evaluate(variables, x):
        with evaluation.recording():
            _, state = model.apply(variables, x, train=False, mutable=["intermediates"])
        maps = state.get("intermediates", {}).get("features", ())
        if not isinstance(maps, tuple):  # the output of a module named "features"
            maps = ()
        return [*evaluation.outputs, *(m for m in maps if hasattr(m, "shape"))]

    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    key = jax.eval_shape(jax.random.key, 0)  # without a device
    variables = jax.eval_shape(init, key, x)
    closed, outputs = jax.make_jaxpr(evaluate, return_shape=True)(variables, x)
    try:
        extents = receptive_field.of_program(closed.jaxpr)
    except receptive_field.UnknownOperation:
        extents = [None] * len(outputs)
    macs = program.macs_by_scope(closed.jaxpr, evaluation.scope)
    types = initial.types | evaluation.types
    own = calls.own_parameters(variables.get("params", {}), types)
    rows, left = [_input(x)], dict(own)
    for call in calls.layers(evaluation.calls, own, macs):
        row = _row(call, left.pop(call.module.path, 0), macs)
        rows.append(
            row if call.output is None else _with_field(row, extents[call.output])
        )
    for call in initial.calls:
        path = call.module.path
        if path in left and path not in evaluation.types:
            rows.append(_training_only(_row(call, left.pop(path), {})))
    # Parameters of modules that are not called themselves.
    rows += [_uncalled(path, types[path], size) for path, size in left.items()]
    features = None
    if len(outputs) > len(evaluation.outputs):
        shape = tuple(outputs[-1].shape[1:])
        features = Layer("features", "", shape, 0, 0, _bytes(outputs[-1]))
        features = _with_field(features, extents[-1])
    return Table(tuple(rows), features, described(model).exchanged)


def _input(x: jax.ShapeDtypeStruct) -> Layer:
    shape = tuple(x.shape[1:])
    row = Layer("input", "Input", shape, 0, 0, _bytes(x), kind="-")
    row = dataclasses.replace(row, explanation=explain_input(shape))
    return _with_field(row, receptive_field.of_input(x.shape))


def explain_input(shape: Shape) -> str:
    """Returns the input in words: "Input RGB image", "Input clip of 16 RGB images"."""
    colors = {1: "grayscale", 3: "RGB"}.get(shape[-1], f"{shape[-1]}-channel")
    if len(shape) == 4:
        return f"Input clip of {shape[0]} {colors} images"
    return f"Input {colors} image" if len(shape) == 3 else "Input"


def _row(call: calls.Call, parameters: int, macs: Mapping[str | None, int]) -> Layer:
    module, name = call.module, type(call.module).__name__
    row = Layer(
        name="/".join(module.path) or name,
        type=name,
        output_shape=call.out_shape or (),
        parameters=parameters,
        macs=macs.get(call.scope, 0),
        memory=call.memory,
        kind=name,
        traced=True,
    )
    if not call.described:
        return row
    shapes = (call.in_shape, call.out_shape)
    kind, explanation = module.explain(*shapes)
    return dataclasses.replace(
        row,
        macs=module.macs(*shapes),
        kind=kind,
        explanation=explanation,
        traced=False,
    )


def _training_only(row: Layer) -> Layer:
    """Returns the row of a layer that only training uses.

    The costs of evaluation (multiply-accumulates and memory) are set to 0.
    """
    return dataclasses.replace(row, macs=0, memory=0, training_only=True, traced=False)


def _uncalled(path: calls.Path, owner: type[nn.Module], parameters: int) -> Layer:
    name = owner.__name__
    return Layer("/".join(path) or name, name, (), parameters, 0, 0, kind=name)


def _with_field(row: Layer, extents: receptive_field.Extents) -> Layer:
    if extents is None:
        return row
    return dataclasses.replace(
        row,
        receptive_field=tuple(extent.receptive_field for extent in extents),
        stride=tuple(extent.stride for extent in extents),
        offset=tuple(extent.offset for extent in extents),
    )


def _bytes(array: Any) -> int:
    return math.prod(array.shape[1:]) * array.dtype.itemsize


def totals(table: Table) -> tuple[int, int]:
    """Returns the numbers of parameters and of multiply-accumulates in evaluation."""
    return table.parameters, table.macs


def as_json(table: Table) -> dict[str, Any]:
    """Returns the table for `json.dumps`: {"layers": [...], "parameters": N, ...}.

    Each layer has the attributes of `Layer` as keys, with "activation_bytes" instead of
    "memory".
    """
    return {
        "layers": [_json_row(row) for row in table],
        "parameters": table.parameters,
        "macs": table.macs,
        "training_only_parameters": table.training_only_parameters,
        "activation_bytes": table.memory,
        "weighted_layers": table.weighted_layers,
        "traced": table.traced,
        "exchanged": table.exchanged,
        "features": table.features and _json_row(table.features),
    }


def _json_row(row: Layer) -> dict[str, Any]:
    values = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(row).items()
    }
    values["activation_bytes"] = values.pop("memory")
    if row.stride is not None:
        values["stride"] = [whole_or_float(stride) for stride in row.stride]
    return values


def whole_or_float(stride: Fraction | None) -> int | float | None:
    """Returns a stride as a number for JSON: an integer if possible, or a float.

    A stride is below 1 if the feature map is larger than the input.
    """
    if stride is None:
        return None
    return int(stride) if stride.denominator == 1 else float(stride)


# Marks rows whose multiply-accumulates were counted in the traced program.
TRACED = " (traced)"
FOOTNOTE = "\n\n(traced): multiply-accumulates counted from the traced program"
FORMATS = {"table": "simple", "markdown": "pipe", "json": "json"}


def render(table: Table, format: str = "table") -> str:
    """Returns the table as text.

    Args:
      table: the table.
      format: "table" (for a terminal), "markdown" or "json". The Markdown table
        resembles the tables of textbooks: an explanation is added to each row.

    Raises:
      UserError: if the format is unknown.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format == "json":
        return strict_json.dumps(as_json(table), indent=2)
    headers = ["layer", "type", "output shape", "parameters", "macs"]
    headers += ["receptive field", "activations"]
    markdown = format == "markdown"
    if markdown:
        headers.append("explanation")
    rows = []
    for row in table:
        name = f"{row.name} (training only)" if row.training_only else row.name
        name += TRACED * row.traced
        cells = [name, row.kind if markdown else row.type, shape_text(row.output_shape)]
        cells += [row.parameters, row.macs, field_text(row.receptive_field)]
        cells += ["-" if row.training_only else memory_text(row.memory)]
        # Markdown would take asterisks of a formula for emphasis.
        explanation = row.explanation.replace("*", r"\*")
        rows.append([*cells, explanation] if markdown else cells)
    total = [
        "total" + TRACED * table.traced,
        "",
        "",
        table.parameters,
        table.macs,
        "",
        memory_text(table.memory),
    ]
    rows += [total] if markdown else [SEPARATING_LINE, total]
    if table.training_only_parameters:
        rows.append(["in training only", "", "", table.training_only_parameters])
    rows = [
        row if row is SEPARATING_LINE else [*row, *[""] * (len(headers) - len(row))]
        for row in rows
    ]
    text = tabulate(rows, headers=headers, tablefmt=FORMATS[format], intfmt=",")
    text += f"\n\n{table.exchanged}" if table.exchanged else ""
    return text + FOOTNOTE if table.traced else text


def shape_text(shape: Shape) -> str:
    """Returns a shape as text: "(224, 224, 3)", or "1000" for a vector.

    The text of an empty shape is a dash.
    """
    if not shape:
        return "-"
    return str(shape[0]) if len(shape) == 1 else str(shape)


def field_text(sizes: Sequence[Any] | None) -> str:
    """Returns the sizes along each dimension as text: "195", or "11x195x195".

    If all sizes are equal, a single number is shown. The text of None is a dash.
    """
    if sizes is None or None in sizes:
        return "-"
    sizes = sizes[:1] if len(set(sizes)) == 1 else sizes
    return "x".join(map(str, sizes))


def memory_text(size: int) -> str:
    """Returns a number of bytes as text, such as "1.1 MiB"."""
    if size < 2**10:
        return f"{size} B"
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
