"""Conversion of weights between torchvision and this package.

The two libraries differ in the names and in the layouts of weights. A PyTorch state
dict is a flat dict of arrays. It contains parameters, batch statistics, and a count of
batches for each batch normalization; kernels have the shape (out, in, ...). In this
package, parameters and batch statistics are two trees, and kernels have the shape
(..., in, out). The names come from the model's spec in `models.MODELS`. The layouts
follow from the shapes of the network's own variables.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import layers, models
from cnn_jax.core.errors import UserError
from cnn_jax.models.other_names import OtherNames
from cnn_jax.weights import torch_names

State = Mapping[str, Any]
Path = tuple[str, ...]

# The collection of the counts of batches, which no module here reads.
COUNTS = "num_batches_tracked"


@dataclass(frozen=True)
class Entry:
    """One parameter or statistic of a network, in this package and in torchvision.

    Attributes:
      path: the path in this package, such as ("params", "stem", "conv", "kernel").
      name: the name in torchvision's state dict, such as "conv1.weight".
      shape: the shape in this package.
      rows: for the kernel of a fully connected layer whose input is a flattened feature
        map, the shape (height, width, channels) of the feature map; otherwise None. The
        rows of such a kernel have another order in torchvision.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    rows: tuple[int, ...] | None = None

    @property
    def key(self) -> str:
        return "/".join(self.path)

    @property
    def torch_shape(self) -> tuple[int, ...]:
        return (*self.shape[:-3:-1], *self.shape[:-2])

    def from_torch(self, value: np.ndarray) -> np.ndarray:
        """Returns the value of this entry in the layout of this package.

        The layout of kernels changes from OIHW to HWIO, from OIDHW to DHWIO, or from OI
        to IO. If a fully connected layer follows a flattened feature map, the order of
        the rows of its kernel changes from (C, H, W) to (H, W, C).

        Args:
          value: the value in torchvision's layout.
        """
        if value.ndim < 2:
            return value
        if self.rows is not None:
            *space, channels = self.rows
            value = np.moveaxis(value.reshape(-1, channels, *space), 1, -1)
            value = value.reshape(self.torch_shape)
        return np.ascontiguousarray(np.moveaxis(value, (1, 0), (-2, -1)))

    def to_torch(self, value: np.ndarray) -> np.ndarray:
        """Returns the value of this entry in torchvision's layout.

        This method is the inverse of `from_torch`.

        Args:
          value: the value in the layout of this package.
        """
        if value.ndim < 2:
            return value
        value = np.moveaxis(value, (-2, -1), (1, 0))
        if self.rows is not None:
            value = np.moveaxis(value.reshape(-1, *self.rows), -1, 1)
        return np.ascontiguousarray(value).reshape(self.torch_shape)


def from_torch(name: str, state: State, **attributes: Any) -> dict[str, Any]:
    """Returns variables of a network, converted from a state dict of torchvision.

    The result has the collections "params" and "batch_stats" in float32. It also has
    the collection "num_batches_tracked": the count of batches of each batch
    normalization. `model.apply` does not read the counts; `to_torch` writes the counts
    into a state dict.

    Args:
      name: the network's name in `models.MODELS`.
      state: arrays or tensors with torchvision's or timm's names; see `tidy`.
      attributes: attributes of the network that differ from the network's defaults. Not
        needed for the number of classes, the number of image channels and the presence
        of auxiliary heads, which the state dict determines.

    Raises:
      UserError: torchvision has no such network; or an entry of the state dict is
        missing, is not part of the network, has another shape or has no floating-point
        numbers.
    """
    state = torch_names.family(name).renamed(tidy(state))
    variables = translate(name, state, **attributes)
    # The counts stay in NumPy, because they have 64 bits.
    arrays = {k: v for k, v in variables.items() if k != COUNTS}
    return variables | jax.tree.map(jnp.asarray, arrays)


def translate(name: str, state: State, **attributes: Any) -> dict[str, Any]:
    """Returns the variables of a network as NumPy arrays, from a tidy state dict.

    Args:
      name: the network's name in `models.MODELS`.
      state: a result of `tidy`, with torchvision's names.
      attributes: see `from_torch`.
    """
    model = model_of(name, state, **attributes)
    entries = entries_of(name, model)
    channels = np.shape(state.get(entries[0].name, ()))[1:2]
    entries = _with_channels(name, model, entries, channels)
    counts = counts_of(entries)
    check(
        f"torchvision's {name}",
        {entry.name: entry.torch_shape for entry in entries},
        {key: value.shape for key, value in state.items() if key not in counts},
    )
    flat = {e.path: e.from_torch(as_float32(e.name, state[e.name])) for e in entries}
    flat |= {path: state[key] for key, path in counts.items() if key in state}
    return {"params": {}, "batch_stats": {}} | unflatten_dict(flat)


def to_torch(
    name: str, variables: Mapping[str, Any], **attributes: Any
) -> dict[str, np.ndarray]:
    """Returns a state dict of torchvision, converted from the variables of a network.

    Args:
      name: the network's name in `models.MODELS`.
      variables: {"params": ..., "batch_stats": ...}, from `from_torch`, `init` or
        training. If there is no collection "num_batches_tracked", the counts of batches
        in the state dict are zero.
      attributes: attributes of the network that differ from the network's defaults. Not
        needed for the number of classes, the number of image channels and the presence
        of auxiliary heads, which the variables determine.

    Returns:
      NumPy arrays by torchvision's names.

    Raises:
      UserError: see `from_torch`.
    """
    family, params = torch_names.family(name), variables["params"]
    found = {"num_classes": 1000}
    if "head" in params:
        found["num_classes"] = params["head"]["bias"].shape[0]
    if family.auxiliary:
        found["auxiliary"] = any(head in params for head in family.auxiliary)
    model = models.create(name, **(found | attributes))
    entries = entries_of(name, model)
    first = flatten_dict(params).get(entries[0].path[1:], ())
    entries = _with_channels(name, model, entries, np.shape(first)[-2:-1])
    return state_of(entries, variables)


def model_of(name: str, state: State, **attributes: Any) -> nn.Module:
    """Returns the network to which a tidy state dict of torchvision belongs.

    Args:
      name: the network's name in `models.MODELS`.
      state: a result of `tidy`, with torchvision's names.
      attributes: attributes of the network. They take precedence over attributes that
        the state dict determines.
    """
    return models.create(name, **(attributes_of(name, state) | attributes))


def attributes_of(name: str, state: State) -> dict[str, Any]:
    """Returns the attributes of a network that a tidy state dict determines.

    These attributes are "num_classes" and, for networks that can have auxiliary heads,
    "auxiliary".
    """
    family = torch_names.family(name)
    # If there is no head, `check` reports the missing entries later.
    head = state.get(f"{family.head}.weight", np.empty(1000))
    found = {"num_classes": len(head)}
    if family.auxiliary:
        prefixes = tuple(f"{module}." for module in family.auxiliary.values())
        found["auxiliary"] = any(key.startswith(prefixes) for key in state)
    return found


def state_of(
    entries: Sequence[Entry], variables: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns a state dict of torchvision, converted from the variables of a network.

    Args:
      entries: an entry for each parameter and statistic of the network.
      variables: the variables of the network.
    """
    known = {"/".join(path): value for path, value in flatten_dict(variables).items()}
    counts = counts_of(entries)
    check(
        "the network",
        {entry.key: entry.shape for entry in entries},
        {key: np.shape(v) for key, v in known.items() if key.split("/")[0] != COUNTS},
    )
    state = {
        entry.name: entry.to_torch(np.asarray(known[entry.key])) for entry in entries
    }
    for key, path in counts.items():
        state[key] = np.asarray(known.get("/".join(path), 0), np.int64)
    return state


def entries_of(
    name: str, model: nn.Module, input_shape: tuple[int, ...] | None = None
) -> list[Entry]:
    """Returns an entry for each parameter and statistic of a network.

    Args:
      name: the network's name in `models.MODELS`.
      model: the network.
      input_shape: the shape of one example; None: the shape in the network's paper.

    Raises:
      UserError: torchvision has no such network, or the network has layers that
        torchvision's network cannot have.
    """
    shape = input_shape or models.published_shape(name)
    return entries_with(torch_names.family(name), name, model, shape)


def entries_with(
    names: OtherNames, name: str, model: nn.Module, input_shape: tuple[int, ...]
) -> list[Entry]:
    """Returns an entry for each parameter and statistic of a network.

    Args:
      names: the names of the network's layers in the other library.
      name: the network's name in `models.MODELS`.
      model: the network.
      input_shape: the shape of one example.
    """
    shapes, maps = _shapes(model, input_shape)
    entries = []
    for path, shape in shapes.items():
        collection, *modules, variable = path
        module = names.translate(model, "/".join(modules))
        if module is None:
            raise UserError(
                f"torchvision's {name} has no layer like {'/'.join(modules)}: leave "
                "config.model.head and the normalization layers as published."
            )
        rows = maps.get(tuple(modules)) if variable == "kernel" else None
        leaf_name = torch_names.LEAVES[collection, variable]
        entries.append(Entry(path, f"{module}.{leaf_name}", shape, rows))
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError(f"two layers of {name} have one name in torchvision")
    return entries


def unlike_published(
    name: str, entries: Sequence[Entry], num_classes: int
) -> str | None:
    """Returns in words how a network differs from torchvision's network.

    The result is None if the networks do not differ.

    Args:
      name: the network's name in `models.MODELS`.
      entries: an entry for each parameter and statistic of the network.
      num_classes: the number of classes.
    """
    published = entries_of(name, models.create(name, num_classes=num_classes))
    shapes = {entry.name: entry.torch_shape for entry in entries}
    for entry in published:
        if (shape := shapes.get(entry.name)) != entry.torch_shape:
            return f"{entry.name} is {shape} and not {entry.torch_shape}"
    extra = shapes.keys() - {entry.name for entry in published}
    return f"{min(extra)} is not there" if extra else None


def _with_channels(
    name: str, model: nn.Module, entries: list[Entry], channels: tuple[int, ...]
) -> list[Entry]:
    """Returns the entries of a network for images with another number of channels.

    Args:
      name: the network's name in `models.MODELS`.
      model: the network.
      entries: the entries of the network for images as in the network's paper.
      channels: the number of image channels, as a tuple with one number. If the tuple
        is empty, the number is unknown, and `entries` is returned.
    """
    shape = models.published_shape(name)
    if channels in ((), shape[-1:]):
        return entries
    return entries_of(name, model, (*shape[:-1], *channels))


def check(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raises `UserError` unless weights have the expected names and shapes.

    Args:
      what: the network to which the expected entries belong, for the error.
      expected: the shapes of the network's entries by name.
      found: the shapes of the weights by name.
    """
    missing = [key for key in expected if key not in found]
    left_over = [key for key in found if key not in expected]
    other = [k for k, shape in expected.items() if k in found and found[k] != shape]
    complaints = []
    if missing:
        first = f"{missing[0]} {tuple(expected[missing[0]])}"
        complaints.append(f"{first}{_more(missing)} is missing")
    if left_over:
        first = f"{left_over[0]} {tuple(found[left_over[0]])}"
        complaints.append(f"{first}{_more(left_over)} is not in the network")
    if other:
        key = other[0]
        complaints.append(
            f"{key} has the shape {tuple(found[key])} and not "
            f"{tuple(expected[key])}{_more(other)}"
        )
    if complaints:
        raise UserError(
            f"the weights do not belong to {what}: {'; '.join(complaints)}."
        )


def _more(keys: Sequence[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""


def tidy(state: State) -> dict[str, np.ndarray]:
    """Returns a state dict in the form of PyTorch's `state_dict()`, as NumPy arrays.

    The prefix "module." of `DataParallel` is removed from all names.

    Args:
      state: a state dict, or a checkpoint with the entry "state_dict" or "model" that
        is a state dict.
    """
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    prefix = "module."
    if all(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: as_numpy(value) for key, value in state.items()}


def as_numpy(value: Any) -> np.ndarray:
    """Returns an array or tensor as a NumPy array; bfloat16 tensors become float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def as_float32(key: str, value: np.ndarray) -> np.ndarray:
    """Returns an array as float32.

    Args:
      key: the name of the array, for the error.
      value: an array of floating-point numbers.

    Raises:
      UserError: the array does not have floating-point numbers.
    """
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise UserError(
            f"{key} has values of type {value.dtype}: weights must be floating-point "
            "numbers, and not quantized."
        )
    return value.astype(np.float32, copy=False)


def counts_of(entries: Iterable[Entry]) -> dict[str, Path]:
    """Returns the path in this package of each count of batches, by torchvision's name.

    Each batch normalization has a count of batches.
    """
    counts = {}
    for entry in entries:
        collection, *modules, variable = entry.path
        if (collection, variable) == ("batch_stats", "mean"):
            name = f"{entry.name.removesuffix('running_mean')}{COUNTS}"
            counts[name] = (COUNTS, *modules, "count")
    return counts


def _shapes(
    model: nn.Module, input_shape: tuple[int, ...]
) -> tuple[dict[Path, tuple[int, ...]], dict[Path, tuple[int, ...]]]:
    """Returns the shapes of a network's variables and of its flattened feature maps.

    Returns:
      Two dicts. The first dict has the shape of each variable by its path, in the order
      in which the network makes the variables. The second dict has, for the path of
      each `Dense` whose input is a flattened feature map, the shape of the feature map.
      This is the last feature map in the module that contains the `Dense`, if the
      `Dense` has as many inputs as the feature map has values.
    """
    order: list[Path] = []
    last: dict[Path, tuple[int, ...]] = {}
    flattened: dict[Path, tuple[int, ...]] = {}

    def record(next_method, args, kwargs, context):
        output = next_method(*args, **kwargs)
        if context.method_name != "__call__" or not context.module.path:
            return output
        *above, name = context.module.path
        above = tuple(above)
        if isinstance(context.module, nn.Dense) and args[0].ndim == 2:
            shape = last.pop(above, ())
            if math.prod(shape) == args[0].shape[-1] > shape[-1]:
                flattened[*above, name] = shape
        elif not isinstance(context.module, layers.Flatten):
            # The values of a vector that is not a flattened map are in no map's order.
            last[above] = output.shape[1:] if output.ndim > 2 else (0,)
        return output

    def init(x):
        variables = flatten_dict(model.init(jax.random.key(0), x, train=False))
        order.extend(variables)
        return variables

    x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    with nn.intercept_methods(record):
        shapes = jax.eval_shape(init, x)
    return {path: shapes[path].shape for path in order}, flattened
