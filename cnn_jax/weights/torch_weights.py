"""Weights of the networks that torchvision has too, from its names and layouts.

A state dict of PyTorch is a flat dict of arrays: kernels (out, in, ...), statistics
beside the parameters, and for each batch normalization a count of batches. Here
kernels are (..., in, out), and parameters and statistics are two trees. A model's
spec knows the names; everything else follows from the shapes that the network itself
has.
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

# The collection of the counts, which no module of ours reads.
COUNTS = "num_batches_tracked"


@dataclass(frozen=True)
class Entry:
    """One parameter or statistic on both sides.

    Attributes:
      path: here: ("params", "stem", "conv", "kernel").
      name: in torchvision's state dict: "conv1.weight".
      shape: here.
      rows: size (height, width, channels) of the map whose values, one after the
        other, are the rows of a fully connected kernel; None where there is no map.
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
        """OIHW to HWIO, OIDHW to DHWIO, OI to IO; rows from (C, H, W) to (H, W, C)."""
        if value.ndim < 2:
            return value
        if self.rows is not None:
            *space, channels = self.rows
            value = np.moveaxis(value.reshape(-1, channels, *space), 1, -1)
            value = value.reshape(self.torch_shape)
        return np.ascontiguousarray(np.moveaxis(value, (1, 0), (-2, -1)))

    def to_torch(self, value: np.ndarray) -> np.ndarray:
        """The opposite of `from_torch`."""
        if value.ndim < 2:
            return value
        value = np.moveaxis(value, (-2, -1), (1, 0))
        if self.rows is not None:
            value = np.moveaxis(value.reshape(-1, *self.rows), -1, 1)
        return np.ascontiguousarray(value).reshape(self.torch_shape)


def from_torch(name: str, state: State, **attributes: Any) -> dict[str, Any]:
    """The variables of the network `name` that a state dict of torchvision holds.

    The result has the collections "params" and "batch_stats", float32, and
    "num_batches_tracked", each normalization's count of batches: `model.apply` does
    not read it, and `to_torch` writes it back.

    Args:
      name: of `models.MODELS`.
      state: arrays or tensors by torchvision's or timm's names; see `tidy`.
      attributes: of the network, where they are not its defaults. The numbers of
        classes and of the images' channels are those of the state dict, and so is
        whether there are auxiliary heads.

    Raises:
      UserError: torchvision has no such network, or an entry is missing, left over, of
        another shape or no floating-point number.
    """
    state = torch_names.family(name).renamed(tidy(state))
    variables = translate(name, state, **attributes)
    # JAX has no 64 bits for the counts.
    arrays = {k: v for k, v in variables.items() if k != COUNTS}
    return variables | jax.tree.map(jnp.asarray, arrays)


def translate(name: str, state: State, **attributes: Any) -> dict[str, Any]:
    """`from_torch` for a tidy state dict with torchvision's names, in NumPy."""
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
    """The state dict of torchvision for the variables of the network `name`.

    Counts of batches that the variables do not have are zero.

    Args:
      name: of `models.MODELS`.
      variables: {"params": ..., "batch_stats": ...}, as they come from `from_torch`,
        from `init` or from training.
      attributes: of the network, where they are not its defaults.

    Returns:
      NumPy arrays by torchvision's names.

    Raises:
      UserError: as `from_torch`.
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
    """The network `name` for the variables that `from_torch` returns."""
    return models.create(name, **(attributes_of(name, state) | attributes))


def attributes_of(name: str, state: State) -> dict[str, Any]:
    """What a tidy state dict says of its network: the number of classes, and whether
    it has auxiliary heads."""
    family = torch_names.family(name)
    # Without a head, `check` says which entries there should be.
    head = state.get(f"{family.head}.weight", np.empty(1000))
    found = {"num_classes": len(head)}
    if family.auxiliary:
        prefixes = tuple(f"{module}." for module in family.auxiliary.values())
        found["auxiliary"] = any(key.startswith(prefixes) for key in state)
    return found


def state_of(
    entries: Sequence[Entry], variables: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """`to_torch` for a network whose entries are known."""
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
    """Every parameter and statistic of `model`, a network `name`.

    Args:
      input_shape: of one example; None is that of torchvision's.

    Raises:
      UserError: torchvision has no such network, or none with such attributes.
    """
    shape = input_shape or models.published_shape(name)
    return entries_with(torch_names.family(name), name, model, shape)


def entries_with(
    names: OtherNames, name: str, model: nn.Module, input_shape: tuple[int, ...]
) -> list[Entry]:
    """Returns the same for a network that has these names; see `entries_of`."""
    shapes, maps = _shapes(model, input_shape)
    entries = []
    for path, shape in shapes.items():
        collection, *modules, variable = path
        module = names.translate(model, "/".join(modules))
        if module is None:
            raise UserError(
                f"torchvision's {name} has nothing like {'/'.join(modules)}: its names "
                "are those of the network with the architecture's own head and norms."
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
    """How the entries differ from those of torchvision's own network; None if they do
    not."""
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
    """Those for images with as many channels as the first convolution was made for.

    Where it is not there, `channels` is empty.
    """
    shape = models.published_shape(name)
    if channels in ((), shape[-1:]):
        return entries
    return entries_of(name, model, (*shape[:-1], *channels))


def check(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raises UserError unless the same keys have the same shapes.

    Args:
      what: the entries are those of `what`.
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
        complaints.append(f"{first}{_more(left_over)} is left over")
    if other:
        key = other[0]
        complaints.append(
            f"{key} has the shape {tuple(found[key])} and not "
            f"{tuple(expected[key])}{_more(other)}"
        )
    if complaints:
        raise UserError(
            f"the weights are not those of {what}: {'; '.join(complaints)}."
        )


def _more(keys: Sequence[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""


def tidy(state: State) -> dict[str, np.ndarray]:
    """Returns a state dict as PyTorch's `state_dict()` returns it, in NumPy.

    Taken off are the dict around it, where it is the entry "state_dict" or "model" of
    a whole checkpoint, and the prefix "module." of `DataParallel`.
    """
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    prefix = "module."
    if all(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key: as_numpy(value) for key, value in state.items()}


def as_numpy(value: Any) -> np.ndarray:
    """An array or a tensor as NumPy has it; bfloat16 tensors become float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def as_float32(key: str, value: np.ndarray) -> np.ndarray:
    """Raises UserError unless the entry `key` has floating-point numbers."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise UserError(
            f"{key} has values of type {value.dtype}: these are no weights, or "
            "quantized ones."
        )
    return value.astype(np.float32, copy=False)


def counts_of(entries: Iterable[Entry]) -> dict[str, Path]:
    """By torchvision's name, where the count of each batch normalization is here."""
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
    """Shapes of the variables, in the order in which the network makes them; and by
    path of a `Dense` that of the map flattened for it.

    The map is the last map that a layer of the same module made, if the `Dense` gets as
    many values as it has.
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
            # A vector that is not a flattened map has its values in no map's order.
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
