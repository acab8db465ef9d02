"""Networks that start from weights of others."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import models
from cnn_jax.errors import UserError
from cnn_jax.models import torch_names, torch_weights, weight_files
from cnn_jax.models.torch_weights import Entry

# What says which layers a head has.
HEAD_FIELDS = ("head", "head_width", "head_grid", "pyramid_levels")


@dataclass(frozen=True)
class Loaded:
    """Weights for a part of a network.

    Attributes:
      variables: nested dicts as in the network's own, without what is left out.
      report: one line that says what was loaded and what was left out.
    """

    variables: dict[str, Any]
    report: str


def load(
    path: Path, name: str, model: nn.Module, input_shape: tuple[int, ...]
) -> Loaded:
    """The weights of a file, or of a folder of `convert`, for `model`.

    The layer "head" and the auxiliary heads are left out where the file has another
    number of classes, the whole head where `model` has another one than the
    architecture's own, and auxiliary heads where only one of the two has them. All else
    must match.

    Args:
      path: see `weight_files.read`.
      name: of the model, in `models.MODELS`.
      input_shape: of one example.

    Raises:
      UserError: torchvision has no such network, the file cannot be read, or an entry
        is missing, left over or of another shape.
    """
    family = torch_names.family(name)
    weights = weight_files.read(path)
    # With another head than its architecture has, what comes before it is the same.
    own_head = with_own_head(name, model)
    entries = torch_weights.entries_of(name, own_head, input_shape)
    ours = weights.facts is not None

    def key_of(entry: Entry) -> str:
        return entry.key if ours else entry.name

    def shape_of(entry: Entry) -> tuple[int, ...]:
        return entry.shape if ours else entry.torch_shape

    # Modules that a fine-tuned network may do without, by their names in the file.
    optional = {"head": family.head, **family.auxiliary}
    if ours:
        optional = {module: module for module in optional}

    def module_of(key: str) -> str | None:
        """The optional module that an entry of the file belongs to."""
        inside = key.partition("/")[2].replace("/", ".") if ours else key
        for module, theirs in optional.items():
            if inside.startswith(f"{theirs}."):
                return module
        return None

    found = {
        key: value.shape
        for key, value in weights.arrays.items()
        if not key.endswith(f".{torch_weights.COUNTS}")
    }
    dropped: set[str] = set()
    if own_head != model:
        try:
            with_head = torch_weights.entries_of(name, model, input_shape)
        except UserError:  # torchvision has no names for such a head
            with_head = entries
        # A fine-tuned network's file has the very head that this network has.
        hidden = {key_of(e): shape_of(e) for e in with_head if is_hidden(e.path[1])}
        if hidden and hidden.items() <= found.items():
            entries = with_head
        else:
            heads = [e for e in entries if is_hidden(e.path[1]) or e.path[1] == "head"]
            dropped = {key_of(entry) for entry in heads}
            entries = [entry for entry in entries if entry not in heads]

    in_file = {module_of(key) for key in found} - {None}
    in_model = {entry.path[1] for entry in entries} & optional.keys()
    left_out, reasons = set(), []
    if dropped:
        reasons.append(f"the head, which is head={model.head} here")
    head = next((e for e in entries if e.path[1:] == ("head", "kernel")), None)
    if head and key_of(head) in found:
        theirs = found[key_of(head)][-1 if ours else 0]
        if theirs != head.shape[-1]:
            left_out |= in_file | in_model
            reasons.append(
                f"{_names(in_model)}: {theirs} classes in the file, "
                f"{head.shape[-1]} here"
            )
    auxiliary = set(family.auxiliary)
    if only := (in_file ^ in_model) & auxiliary:
        left_out |= only
        place = "the network" if only & in_file else "the file"
        reasons.append(f"{_names(only)}: not in {place}")

    wanted = [entry for entry in entries if entry.path[1] not in left_out]
    found = {
        key: shape
        for key, shape in found.items()
        if module_of(key) not in left_out and key not in dropped
    }
    what = name
    if ours and weights.facts["model"] != name:
        what = f"{name}, but of {weights.facts['model']}"
    try:
        torch_weights.check(what, {key_of(e): shape_of(e) for e in wanted}, found)
        flat = {}
        for entry in wanted:
            key = key_of(entry)
            value = torch_weights.as_float32(key, weights.arrays[key])
            flat[entry.path] = value if ours else entry.from_torch(value)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    parameters = sum(v.size for key, v in flat.items() if key[0] == "params")
    rest = f"; left out: {'; '.join(reasons)}" if reasons else ""
    return Loaded(
        unflatten_dict(flat),
        f"{len(flat)} of {len(entries)} entries ({parameters:,} parameters) start from "
        f"{path}{rest}",
    )


def with_own_head(name: str, model: nn.Module) -> nn.Module:
    """`model` with the head of the architecture `name`."""
    own = models.attributes(name)
    return model.clone(**{field: own[field][1] for field in HEAD_FIELDS})


def is_hidden(module: str) -> bool:
    """Whether a network's module is a hidden layer of its head."""
    return re.fullmatch(r"fc\d+", module) is not None


def _names(modules: set[str]) -> str:
    return ", ".join(sorted(modules, key=lambda module: (module != "head", module)))


def convert(name: str, path: Path, output: Path, *, overwrite: bool) -> str:
    """Writes a file of torchvision's weights as a folder of variables.

    Returns:
      One line that says what was written.

    Raises:
      UserError: torchvision has no such network, the file cannot be read or is not
        that network's, or the folder cannot be written.
    """
    torch_names.family(name)
    weight_files.check_folder(output, overwrite=overwrite)
    weights = weight_files.read(path)
    if weights.facts is not None:
        raise UserError(f"{path} is a folder of weights already.")
    try:
        attributes = torch_weights.attributes_of(name, weights.arrays)
        variables = torch_weights.translate(name, weights.arrays)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    variables.pop(torch_weights.COUNTS, None)
    arrays = flatten_dict(variables)
    parameters = sum(v.size for key, v in arrays.items() if key[0] == "params")
    num_classes = attributes.pop("num_classes")
    facts = {
        "model": name,
        "attributes": attributes,
        "num_classes": num_classes,
        "parameters": parameters,
        "source": {"file": str(path), "sha256": weight_files.digest(path)},
    }
    weight_files.write_folder(output, variables, facts, overwrite=overwrite)
    return (
        f"{name}: {len(arrays)} entries, {parameters:,} parameters, {num_classes} "
        f"classes, from {path} to {output}"
    )
