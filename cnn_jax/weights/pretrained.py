"""Pretrained weights for networks: from a file, a folder or the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.models.network import described
from cnn_jax.weights import torch_names, torch_weights, weight_files
from cnn_jax.weights.file_keys import Keys, left_out
from cnn_jax.weights.torch_weights import Entry
from cnn_jax.weights.weight_files import Weights

# The prefix of the names of a backbone's parameters.
INSIDE = "params/backbone/"


@dataclass(frozen=True)
class Loaded:
    """Pretrained weights for all or some layers of a network.

    Attributes:
      variables: nested dicts with the structure of the network's variables, without the
        variables that are not loaded.
      report: one line that states what was loaded and what was left out.
    """

    variables: dict[str, Any]
    report: str


def load(
    path: Path, name: str, model: nn.Module, input_shape: tuple[int, ...]
) -> Loaded:
    """Returns the stored weights that `model` can use; see `fit`.

    Args:
      path: a file or a folder of weights; see `weight_files.read`.
      name: the model's name in `models.MODELS`.
      model: the network.
      input_shape: the shape of one example.
    """
    return fit(weight_files.read(path), path, name, model, input_shape)


def fit(
    weights: Weights,
    path: Path | str,
    name: str,
    model: nn.Module,
    input_shape: tuple[int, ...],
    classes: Sequence[str] | None = None,
) -> Loaded:
    """Returns the weights that `model` can use.

    Some entries are left out:

    * The last layer and the auxiliary heads, if the classes of the weights and of the
      model differ, in their number or in their names.
    * The whole head, if the head of the model has other layers.
    * An auxiliary head that only the weights or only the model has.

    All other entries of the weights and of the model must match. A network on a
    backbone also accepts the weights of the backbone as a network of its own.
    torchvision's segmentation networks also accept the weights of torchvision's
    classification networks.

    Args:
      weights: the stored weights.
      path: the source of the weights, for reports and errors.
      name: the model's name in `models.MODELS`.
      model: the network.
      input_shape: the shape of one example.
      classes: the names of the model's classes; None if unknown. Names are compared
        only if the weights state the names of their classes too.

    Raises:
      UserError: the weights have torchvision's names, but torchvision has no such
        network; an entry is missing, is not part of the model or has another shape; or
        the model can use no entry.
    """
    _, backbone = models.parts(name)
    if backbone != name and not any(key.startswith(INSIDE) for key in weights.arrays):
        return _fit_backbone(weights, path, name, model, input_shape)
    ours, facts = weights.facts is not None, weights.facts or {}
    _check_norm(facts.get("norm"), path, model)
    arrays: Mapping[str, Any] = weights.arrays
    if ours:
        names = models.spec_of(name).names
    else:
        names = torch_names.family(name)
        arrays = names.whole(names.renamed(arrays))
    # If the model has another head than its architecture, the entries before the head
    # are the same.
    own_head = with_own_head(name, model)
    published = entries = _entries(ours, name, own_head, input_shape)
    if own_head != model:
        try:
            entries = _entries(ours, name, model, input_shape)
        except UserError:  # torchvision has no such head
            entries = []
    auxiliary = names.auxiliary if names else {}
    keys = Keys(ours, model, auxiliary, [*published, *entries])
    found = {
        key: value.shape
        for key, value in arrays.items()
        if not key.endswith(f".{torch_weights.COUNTS}")
    }
    same_head = (not ours and own_head == model) or keys.heads_alike(entries, found)
    entries = entries or published
    others = None
    if same_head:
        others = keys.other_classes(entries, found, facts.get("classes"), classes)
    left = left_out(keys, entries, found, same_head, others)
    wanted = [e for e in entries if not left.has(keys.of(e))]
    found = {key: shape for key, shape in found.items() if not left.has(key)}
    what = name
    if facts.get("model", name) != name:
        what = f"{name}, but to {facts['model']}"
    try:
        torch_weights.check(what, {keys.of(e): keys.shape_of(e) for e in wanted}, found)
        flat = {e.path: keys.value_of(e, arrays[keys.of(e)]) for e in wanted}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    reasons = "; ".join(left.reasons)
    if not flat:
        raise UserError(f"{path}: no entry fits {name}. Left out: {reasons}.")
    parameters = sum(v.size for key, v in flat.items() if key[0] == "params")
    rest = f"; left out: {reasons}" if reasons else ""
    return Loaded(
        unflatten_dict(flat),
        f"{len(flat)} of {len(entries)} entries ({parameters:,} parameters) start from "
        f"{path}{rest}",
    )


def _check_norm(norm: str | None, path: Path | str, model: nn.Module) -> None:
    """Raises `UserError` if the weights belong to another normalization than `model`'s.

    The parameters of several normalizations have the same names and shapes.

    Args:
      norm: the `Network.norm_name` of the network with these weights; None if unknown.
    """
    own = described(model).norm_name
    if norm is not None and own is not None and own != norm:
        raise UserError(
            f"{path}: the weights belong to a network with norm={norm}, but this "
            f"network has norm={own}: set config.model.norm={norm}."
        )


def _fit_backbone(
    weights: Weights,
    path: Path | str,
    name: str,
    model: nn.Module,
    input_shape: tuple[int, ...],
) -> Loaded:
    """Returns weights for the backbone inside `model`, without the backbone's head.

    The weights contain the backbone as a network of its own. See `fit` for the
    arguments.
    """
    _, backbone = models.parts(name)
    image = input_shape[-3:]  # the shape of one image, if examples are pairs
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
        f"{path}: the backbone {backbone}, without its head",
    )


def _entries(
    ours: bool, name: str, model: nn.Module, input_shape: tuple[int, ...]
) -> list[Entry]:
    """Returns a table entry for each parameter and batch statistic of `model`.

    An entry has the name of the array here and in torchvision, and its shape.

    Args:
      ours: if True, the names of the entries in torchvision are left empty.
      name: the model's name in `models.MODELS`.
      model: the network.
      input_shape: the shape of one example.
    """
    if not ours:
        return torch_weights.entries_of(name, model, input_shape)
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    return [Entry(path, "", leaf.shape) for path, leaf in flatten_dict(shapes).items()]


def with_own_head(name: str, model: nn.Module) -> nn.Module:
    """Returns `model` with the head that the architecture `name` has by default.

    If the architecture has no auxiliary head by default, the auxiliary head is removed.
    """
    own = models.spec_of(name).fields()
    fields = {field: own[field] for field in described(model).head_fields}
    if own.get("auxiliary") is False:
        fields["auxiliary"] = False
    return model.clone(**fields)


def convert(name: str, path: Path, output: Path, *, overwrite: bool) -> str:
    """Converts a file of torchvision's weights to a folder of this package's variables.

    Args:
      name: the network's name in `models.MODELS`.
      path: the file of weights.
      output: the folder that is written.
      overwrite: whether an existing folder of weights is replaced.

    Returns:
      One line that states what was written.

    Raises:
      UserError: torchvision has no such network, the file cannot be read or belongs to
        another network, or the folder cannot be written.
    """
    names = torch_names.family(name)
    weight_files.check_folder(output, overwrite=overwrite)
    weights = weight_files.read(path)
    if weights.facts is not None:
        raise UserError(
            f"{path} already holds weights in the format of this package, so there is "
            "nothing to convert."
        )
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
