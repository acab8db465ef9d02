"""Networks that start from weights of others."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.models.network import described, is_head
from cnn_jax.weights import torch_names, torch_weights, weight_files
from cnn_jax.weights.torch_weights import Entry
from cnn_jax.weights.weight_files import Weights

Shapes = Mapping[str, tuple[int, ...]]

# How the names of a backbone's parameters begin.
INSIDE = "params/backbone/"


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
    """`fit` for the weights of a file or folder: see `weight_files.read`."""
    return fit(weight_files.read(path), path, name, model, input_shape)


def fit(
    weights: Weights,
    path: Path | str,
    name: str,
    model: nn.Module,
    input_shape: tuple[int, ...],
    classes: Sequence[str] | None = None,
) -> Loaded:
    """The part of the weights that `model` has.

    The last layer and the auxiliary heads are left out where the weights are of
    other classes or another number of them, the whole head where `model` has another
    one, and auxiliary heads where only one of the two has them. All else must match.
    Of a network on a backbone, weights may be the backbone's alone; for torchvision's
    segmentation networks they may be those of its classification networks.

    Args:
      path: where the weights come from.
      name: of the model, in `models.MODELS`.
      input_shape: of one example.
      classes: the model's, by name, where it matters that they are the weights' own.

    Raises:
      UserError: torchvision, whose names they have, has no such network; an entry is
        missing, left over or of another shape; or nothing is left of them.
    """
    ours = weights.facts is not None
    _, backbone = models.parts(name)
    if backbone != name and not any(key.startswith(INSIDE) for key in weights.arrays):
        return _fit_backbone(weights, path, name, model, input_shape)
    names = models.spec_of(name).names if ours else torch_names.family(name)
    auxiliary = names.auxiliary if names else {}
    if not ours:
        arrays = names.whole(names.renamed(weights.arrays))
        weights = dataclasses.replace(weights, arrays=arrays)
    # With another head than its architecture has, what comes before it is the same.
    own_head = with_own_head(name, model)
    published = _entries(ours, name, own_head, input_shape)
    entries = published
    if own_head != model:
        try:
            entries = _entries(ours, name, model, input_shape)
        except UserError:  # torchvision has no names for such a head
            entries = []

    last = described(model).class_layer

    def is_last(path: Sequence[str]) -> bool:
        """Whether an entry belongs to the layer whose outputs are classes."""
        return tuple(path[1 : 1 + len(last)]) == last

    def in_head(path: Sequence[str]) -> bool:
        return is_head(model, path[1]) or is_last(path)

    def key_of(entry: Entry) -> str:
        return entry.key if ours else entry.name

    def shape_of(entry: Entry) -> tuple[int, ...]:
        return entry.shape if ours else entry.torch_shape

    def module_of(key: str) -> str | None:
        """The head, or the auxiliary head, that an entry of the file belongs to."""
        if ours:
            path = tuple(key.split("/"))
            if in_head(path):
                return "head"
            return path[1] if path[1] in auxiliary else None
        if key in head_keys:
            return "head"
        inside = [m for m, theirs in auxiliary.items() if key.startswith(f"{theirs}.")]
        return inside[0] if inside else None

    last_keys = {key_of(e) for e in [*published, *entries] if is_last(e.path)}
    head_keys = {key_of(e) for e in [*published, *entries] if in_head(e.path)}
    found = {
        key: value.shape
        for key, value in weights.arrays.items()
        if not key.endswith(f".{torch_weights.COUNTS}")
    }
    in_file = {module_of(key) for key in found} - {None}
    heads = {key_of(e): shape_of(e) for e in entries if in_head(e.path)}
    theirs = {key: shape for key, shape in found.items() if module_of(key) == "head"}
    classes_at = -1 if ours else 0
    in_model = {
        "head" if in_head(e.path) else e.path[1] for e in entries or published
    } & {"head", *auxiliary}
    left_out, reasons = set(), []
    if "head" not in in_file:
        left_out.add("head")
        if "head" in in_model:
            reasons.append("the head, which is not in the file")
    elif (ours or own_head != model) and not _alike(
        heads, theirs, last_keys, classes_at
    ):
        left_out.add("head")
        here = f"head={model.head}" if models.has_map(model) else "of another size"
        reasons.append(f"the head, which is {here} here")
    entries = entries or published
    head = next(
        (e for e in entries if is_last(e.path) and e.path[-1] == "kernel"), None
    )
    if head and "head" not in left_out and key_of(head) in found:
        count, ours_count = found[key_of(head)][classes_at], head.shape[-1]
        known = (weights.facts or {}).get("classes")
        others = classes and known and list(classes) != list(known)
        if count != ours_count or others:
            left_out |= {"last", *(in_file | in_model) - {"head"}}
            names = _names({"head", *in_model & auxiliary.keys()})
            reasons.append(
                f"{names}: {count} classes in the file, {ours_count} here"
                if count != ours_count
                else f"{names}: the file's classes are others"
            )
    if only := (in_file ^ in_model) & auxiliary.keys():
        left_out |= only
        place = "the network" if only & in_file else "the file"
        reasons.append(f"{_names(only)}: not in {place}")

    def stays(key: str, module: str | None) -> bool:
        return module not in left_out and not ("last" in left_out and key in last_keys)

    wanted = [e for e in entries if stays(key_of(e), module_of(key_of(e)))]
    found = {key: shape for key, shape in found.items() if stays(key, module_of(key))}
    what = name
    if ours and weights.facts.get("model", name) != name:
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
    if not flat:
        raise UserError(f"{path}: nothing of it fits {name}: {'; '.join(reasons)}.")
    parameters = sum(v.size for key, v in flat.items() if key[0] == "params")
    rest = f"; left out: {'; '.join(reasons)}" if reasons else ""
    return Loaded(
        unflatten_dict(flat),
        f"{len(flat)} of {len(entries)} entries ({parameters:,} parameters) start from "
        f"{path}{rest}",
    )


def _fit_backbone(
    weights: Weights,
    path: Path | str,
    name: str,
    model: nn.Module,
    input_shape: tuple[int, ...],
) -> Loaded:
    """Weights of a network for the one that `model` has inside, without its head."""
    _, backbone = models.parts(name)
    image = input_shape[-3:]  # of one, where there are pairs
    loaded = fit(weights, path, backbone, model.backbone, image).variables
    known = {entry.path for entry in _entries(True, name, model, input_shape)}
    flat = {
        (collection, "backbone", *inside): value
        for (collection, *inside), value in flatten_dict(loaded).items()
    }
    kept = {key: value for key, value in flat.items() if key in known}
    parameters = sum(v.size for key, v in kept.items() if key[0] == "params")
    return Loaded(
        unflatten_dict(kept),
        f"{len(kept)} of {len(known)} entries ({parameters:,} parameters) start from "
        f"{path}: those of the backbone {backbone}, without its head",
    )


def _entries(
    ours: bool, name: str, model: nn.Module, input_shape: tuple[int, ...]
) -> list[Entry]:
    """Parameters and statistics of `model`; without torchvision's names if `ours`."""
    if not ours:
        return torch_weights.entries_of(name, model, input_shape)
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    return [Entry(path, "", leaf.shape) for path, leaf in flatten_dict(shapes).items()]


def _alike(
    ours: Shapes, theirs: Shapes, last: Collection[str], classes_at: int
) -> bool:
    """Whether heads differ in no more than the number of classes (layer `last`)."""

    def without_classes(key: str, shape: tuple[int, ...]) -> list[int]:
        sizes = list(shape)
        if key in last:
            del sizes[classes_at]
        return sizes

    return ours.keys() == theirs.keys() and all(
        without_classes(key, ours[key]) == without_classes(key, theirs[key])
        for key in ours
    )


def with_own_head(name: str, model: nn.Module) -> nn.Module:
    """Returns `model` with the head of the architecture `name`, and without an
    auxiliary head if the architecture has none."""
    own = models.spec_of(name).fields()
    fields = {field: own[field] for field in described(model).head_fields}
    if own.get("auxiliary") is False:
        fields["auxiliary"] = False
    return model.clone(**fields)


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
    names = torch_names.family(name)
    weight_files.check_folder(output, overwrite=overwrite)
    weights = weight_files.read(path)
    if weights.facts is not None:
        raise UserError(f"{path} is a folder of weights already.")
    try:
        arrays = names.renamed(weights.arrays)
        attributes = torch_weights.attributes_of(name, arrays)
        variables = torch_weights.translate(name, arrays)
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
